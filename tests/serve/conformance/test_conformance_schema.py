"""Does the server do what its own OpenAPI document says, whatever is sent? Schemathesis asks."""

import subprocess
import sys

import httpx2 as httpx

# What the document cannot say: that a key is needed on some routes only while keys exist, and that a file may come.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance"
)


def test_the_document_holds_all_operations(watched):
    document = httpx.get(f"{watched.server.url}/openapi.json", timeout=60).json()
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert operations >= {
        ("POST", "/v1/videos"),
        ("GET", "/v1/videos"),
        ("GET", "/v1/videos/{video_id}"),
        ("DELETE", "/v1/videos/{video_id}"),
        ("GET", "/v1/videos/{video_id}/content"),
        ("POST", "/v1/videos/{video_id}/remix"),
        ("POST", "/v1/videos/edits"),
        ("POST", "/v1/videos/extensions"),
        ("POST", "/v1/videos/characters"),
        ("GET", "/v1/videos/characters/{character_id}"),
        ("GET", "/v1/models"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }


def test_whatever_is_sent_the_answers_are_those_of_the_document(watched, tmp_path):
    """Exit code 0: no check failed for any operation."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{watched.server.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {watched.key}", "--checks", CHECKS, "--max-examples", "5"),
        *("--phases", "examples,coverage,fuzzing", "--seed", "1", "--generation-database", "none"),
        *("--request-timeout", "60", "--suppress-health-check", "all", "--no-color"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    assert watched.server.process.poll() is None
