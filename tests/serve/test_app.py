"""What clients send, seen on the wire, and what they need to get back."""

import asyncio
import base64
import json

import pytest
from prometheus_client import CollectorRegistry

from ozora.serve import keys
from ozora.serve.errors import ApiError, too_busy
from ozora.serve.guard import Guard
from ozora.serve.intake import data_of
from ozora.serve.service import Service

PROMPT = {"prompt": "a red ball falls"}
AS_FORM = {"content-type": "multipart/form-data; boundary=x"}


def form(*fields, boundary="x"):
    """A multipart body of (name, value) fields without file names, as the SDK writes them."""
    parts = [f'--{boundary}\r\ncontent-disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields]
    return "".join([*parts, f"--{boundary}--\r\n"]).encode()


def check_error(response, status, code, param=None):
    """Every error has the envelope that typed exceptions are made of."""
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param), error
    assert error["message"] and response.headers["x-request-id"].startswith("req_")
    return error["message"]


def test_fake_is_a_service(service):
    assert isinstance(service, Service)


def test_service_lives_as_long_as_the_application(client, service):
    assert service.is_running
    client.__exit__(None, None, None)
    assert not service.is_running
    client.__enter__()


def test_create_as_a_form_and_as_json_are_one(client, service):
    as_form = client.post("/v1/videos", content=form(*PROMPT.items(), ("seconds", "4")), headers=AS_FORM)
    as_json = client.post("/v1/videos", json=PROMPT | {"seconds": 4})
    for response in (as_form, as_json):
        assert response.status_code == 200, response.text
        video = response.json()
        assert video["object"] == "video" and video["status"] == "queued" and video["progress"] == 0
        assert (video["model"], video["seconds"], video["size"]) == ("sora-2", "4", "720x1280")
        assert video["prompt"] == PROMPT["prompt"] and video["error"] is None
        assert video["render_size"] == "64x64" and isinstance(video["created_at"], int)
        assert int(response.headers["openai-poll-after-ms"]) == 1250
    assert service.asked[0].fingerprint != service.asked[1].fingerprint  # "4" and 4: two callers would differ as well


def test_extra_body_arrives_flattened(client, service):
    fields = [("seed", "7"), ("loop", "true"), ("steps", "12"), ("guidance", "2.5"), ("fps", "8"), ("seconds", "6.5")]
    fields += [("storyboard[][start]", "2"), ("storyboard[][start]", "4")]
    fields += [("storyboard[][prompt]", "it bounces"), ("storyboard[][prompt]", "it lies still")]
    fields += [
        ("negative", "null"),
        ("input_reference", "null"),
        ("strict_size", "false"),
        ("size", "64x48"),
        ("variations", ""),
    ]
    response = client.post("/v1/videos", content=form(*PROMPT.items(), *fields), headers=AS_FORM)
    assert response.status_code == 200, response.text
    spec = service.videos[response.json()["id"]][1].spec
    assert (spec.seed, spec.loop, spec.steps, spec.guidance, spec.fps, spec.seconds) == (7, True, 12, 2.5, 8.0, 6.5)
    assert spec.script == ((2.0, "it bounces"), (4.0, "it lies still")) and spec.size == (64, 48)
    assert not spec.strict_size and spec.negative == "null" and response.json()["seconds"] == "6.5"


def test_variations_are_videos_of_their_own(client, service):
    video = client.post("/v1/videos", json=PROMPT | {"variations": 3, "seed": 5}).json()
    assert len(video["variation_ids"]) == 3 and video["variation_ids"][0] == video["id"]
    assert [service.videos[i][1].spec.seed for i in video["variation_ids"]] == [5, 6, 7]
    check_error(client.post("/v1/videos", json=PROMPT | {"variations": 9}), 400, "invalid_value", "variations")


@pytest.mark.parametrize(
    ("wish", "code", "param"),
    [
        ({}, "missing_required_parameter", "prompt"),
        ({"prompt": "  \n"}, "invalid_value", "prompt"),
        ({"prompt": "a\0b"}, "invalid_value", "prompt"),
        ({"prompt": 7}, "invalid_value", "prompt"),
        (PROMPT | {"size": "721x1280"}, "invalid_value", "size"),
        (PROMPT | {"size": "huge"}, "invalid_value", "size"),
        (PROMPT | {"seconds": -1}, "invalid_value", "seconds"),
        (PROMPT | {"seconds": "1e999"}, "invalid_value", "seconds"),
        (PROMPT | {"seconds": 599}, "invalid_value", "seconds"),
        (PROMPT | {"model": "sora-3"}, "model_not_found", "model"),
        (PROMPT | {"seed": 2**63}, "invalid_value", "seed"),
        (PROMPT | {"stepz": 4}, "unknown_parameter", "stepz"),
        (PROMPT | {"storyboard": [{"start": 9, "prompt": "late"}]}, "invalid_value", "storyboard"),
        (PROMPT | {"storyboard": [{"start": 1}]}, "missing_required_parameter", "storyboard.0.prompt"),
        (PROMPT | {"input_reference": {"file_id": "file_1"}}, "invalid_value", "input_reference"),
        (PROMPT | {"input_reference": "https://example.com/a.png"}, "image_urls_disabled", "input_reference"),
        (PROMPT | {"input_reference": "data:image/png;base64,!"}, "invalid_image_url", "input_reference"),
        (PROMPT | {"characters": ["char_1"]}, "character_not_found", None),
    ],
)
def test_what_is_wrong_is_named(client, wish, code, param):
    status = 404 if code == "character_not_found" else 400
    message = check_error(client.post("/v1/videos", json=wish), status, code, param)
    if code == "unknown_parameter":
        assert "did you mean steps" in message
    if wish.get("size") == "721x1280":
        assert "720x1280" in message


def test_surrogates_do_not_break_the_answer(client):
    for body in (b'{"prompt": "\\ud800"}', b'{"\\ud800": 1}', b'{"prompt": "a", "size": "\\ud800"}'):
        response = client.post("/v1/videos", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400 and response.json()["error"]["message"]


@pytest.mark.parametrize("model", ["sora-2", "sora-2-pro", "sora-2-2025-12-08", "sora-2-pro-2025-10-06", "mini"])
def test_model_names_are_aliases(client, model):
    assert client.post("/v1/videos", json=PROMPT | {"model": model}).json()["model"] == model
    dated = model.count("-") > 2
    assert (client.get(f"/v1/models/{model}").status_code == 404) == dated
    assert (model in [entry["id"] for entry in client.get("/v1/models").json()["data"]]) != dated


def test_first_frame_must_have_the_size(client, service, png, read_uploads, tmp_path):
    picture = {"input_reference": ("../../etc/passwd", png(64, 48), "text/html")}
    message = check_error(
        client.post("/v1/videos", data=PROMPT, files=picture), 400, "invalid_value", "input_reference"
    )
    assert "64x48" in message and "720x1280" in message
    assert list((tmp_path / "uploads").iterdir()) == []  # nothing stays of a refused picture
    response = client.post("/v1/videos", data=PROMPT | {"size": "64x48"}, files=picture)
    spec = service.videos[response.json()["id"]][1].spec
    assert spec.task == "animate" and spec.source.size == (64, 48) and spec.source.num_frames == 1
    assert spec.source.file.startswith("uploads/") and list((tmp_path / "uploads").iterdir()) == []
    clip = {"input_reference": ("upload", b"clip", "application/octet-stream")}
    check_error(client.post("/v1/videos", data=PROMPT, files=clip), 400, "invalid_value", "input_reference")
    junk = {"input_reference": ("a.png", b"junk", "image/png")}
    check_error(client.post("/v1/videos", data=PROMPT, files=junk), 400, "invalid_video", "input_reference")
    other = {"image": ("a.png", png(64, 48), "image/png")}
    check_error(client.post("/v1/videos", data=PROMPT, files=other), 400, "unknown_parameter", "image")


def test_a_picture_comes_in_every_form_that_clients_use(client, service, png, read_uploads):
    url = "data:image/png;base64," + base64.b64encode(png(32, 32)).decode()
    wish = PROMPT | {"size": "32x32"}
    fields = form(*wish.items(), ("input_reference[image_url]", url))
    answers = [
        client.post("/v1/videos", content=fields, headers=AS_FORM),
        client.post("/v1/videos", json=wish | {"input_reference": {"image_url": url}}),
        client.post("/v1/videos", json=wish | {"input_reference": url}),
        client.post("/v1/videos", data=wish, files={"input_reference": ("upload", png(32, 32))}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4, answers[0].text
    hashes = {service.videos[answer.json()["id"]][1].spec.source.sha256 for answer in answers}
    assert len(hashes) == 1


def test_data_urls():
    assert data_of("data:image/png;base64,aGk=") == b"hi" and data_of("data:,h%20i") == b"h i"
    for wrong in ("data:image/png;base64", "data:image/png;base64,a", "data:image/png;base64,a b="):
        with pytest.raises(ApiError, match="data: URL"):
            data_of(wrong)


def test_progress_and_the_four_states(client, service):
    video_id = client.post("/v1/videos", json=PROMPT).json()["id"]
    assert client.get(f"/v1/videos/{video_id}").headers["openai-poll-after-ms"] == "1250"
    service.finish(video_id)
    response = client.get(f"/v1/videos/{video_id}")
    assert response.json()["status"] == "completed" and response.json()["progress"] == 100
    assert "openai-poll-after-ms" not in response.headers
    second = client.post("/v1/videos", json=PROMPT).json()["id"]
    cancelled = client.post(f"/v1/videos/{second}/cancel").json()
    assert cancelled["status"] == "failed" and cancelled["error"]["code"] == "cancelled"


def test_pages_say_how_to_go_on(client):
    assert client.get("/v1/videos").json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    ids = [client.post("/v1/videos", json=PROMPT).json()["id"] for _ in range(5)]
    seen, after = [], ""
    while True:
        page = client.get(f"/v1/videos?limit=2&order=asc{after}").json()
        found = [video["id"] for video in page["data"]]
        assert (page["first_id"], page["last_id"]) == (found[0], found[-1])
        seen += found
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == ids
    assert [video["id"] for video in client.get("/v1/videos").json()["data"]] == ids[::-1]
    for wrong in ("limit=0", "limit=101", "limit=x", "order=up", "after=video_x%00", "after=video_none"):
        check_error(client.get(f"/v1/videos?{wrong}"), 400, "invalid_value", wrong.partition("=")[0])


def test_content_and_its_parts(client, service):
    video_id = client.post("/v1/videos", json=PROMPT).json()["id"]
    url = f"/v1/videos/{video_id}/content"
    check_error(client.get(url), 400, "video_not_ready")
    service.finish(video_id)
    for variant, kind, data in (
        ("video", "video/mp4", b"mp4"),
        ("thumbnail", "image/webp", b"webp"),
        ("spritesheet", "image/jpeg", b"jpg"),
    ):
        response = client.get(url, params={"variant": variant})
        assert response.content == data * 100 and response.headers["content-type"] == kind
        assert video_id in response.headers["content-disposition"]
    part = client.get(url, headers={"range": "bytes=3-8"})
    assert part.status_code == 206 and part.content == b"mp4mp4"
    assert part.headers["content-range"] == "bytes 3-8/300"
    assert client.get(url, headers={"range": "bytes=-4"}).content == b"4mp4"
    beyond = client.get(url, headers={"range": "bytes=300-"})
    check_error(beyond, 416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == "bytes */300"
    check_error(client.get(url, headers={"range": "bytes=a-b"}), 400, "invalid_request")
    check_error(client.get(url, params={"variant": "gif"}), 400, "invalid_value", "variant")
    service.content("local", video_id, "video").unlink()
    check_error(client.get(url), 404, "video_not_found")


def test_delete(client, service):
    video_id = client.post("/v1/videos", json=PROMPT).json()["id"]
    answer = client.delete(f"/v1/videos/{video_id}").json()
    assert answer == {"id": video_id, "object": "video.deleted", "deleted": True}
    check_error(client.delete(f"/v1/videos/{video_id}"), 404, "video_not_found")


def test_remix_keeps_what_is_not_asked_for(client, service):
    wish = PROMPT | {"size": "96x64", "seconds": 3, "seed": 11, "steps": 9, "negative": "fog"}
    first = client.post("/v1/videos", json=wish).json()["id"]
    check_error(client.post(f"/v1/videos/{first}/remix", json={"prompt": "blue"}), 400, "video_not_ready")
    service.finish(first)
    video = client.post(f"/v1/videos/{first}/remix", json={"prompt": "blue", "strength": 0.5}).json()
    assert video["remixed_from_video_id"] == first and video["prompt"] == "blue"
    assert (video["size"], video["seconds"]) == ("96x64", "3")
    spec = service.videos[video["id"]][1].spec
    assert (spec.task, spec.seed, spec.steps, spec.negative, spec.strength) == ("edit", 11, 9, "fog", 0.5)
    assert spec.source.video_id == first
    check_error(client.post("/v1/videos/video_0/remix", json={"prompt": "blue"}), 404, "video_not_found")


@pytest.mark.parametrize("way", ["id in JSON", "id in a form", "file"])
def test_edits_and_extensions(client, service, read_uploads, way):
    first = client.post("/v1/videos", json=PROMPT | {"size": "64x48", "seconds": 2}).json()["id"]
    service.finish(first)

    def send(path, wish):
        if way == "id in JSON":
            return client.post(path, json=wish | {"video": {"id": first}})
        if way == "id in a form":
            return client.post(path, content=form(*wish.items(), ("video[id]", first)), headers=AS_FORM)
        return client.post(path, data=wish, files={"video": ("upload", b"clip", "application/octet-stream")})

    edited = send("/v1/videos/edits", {"prompt": "in the snow"})
    assert edited.status_code == 200, edited.text
    spec = service.videos[edited.json()["id"]][1].spec
    assert spec.task == "edit" and spec.size == (64, 48) and edited.json()["seconds"] == "2"
    assert spec.remixed_from is None and (spec.source.video_id == first) == (way != "file")
    extended = send("/v1/videos/extensions", {"prompt": "it rolls on", "seconds": "4"})
    assert extended.json()["seconds"] == "6"  # the whole
    assert service.videos[extended.json()["id"]][1].spec.seconds == 4.0
    check_error(send("/v1/videos/extensions", {"prompt": "on"}), 400, "missing_required_parameter", "seconds")
    check_error(send("/v1/videos/extensions", {"prompt": "on", "seconds": "59"}), 400, "invalid_value", "seconds")
    check_error(client.post("/v1/videos/edits", json=PROMPT), 400, "invalid_value", "video")
    both = PROMPT | {"video[id]": first}
    assert client.post("/v1/videos/edits", data=both, files={"video": ("upload", b"")}).status_code == 200
    twice = client.post("/v1/videos/edits", data=both, files={"video": ("upload", b"clip")})
    assert "twice" in check_error(twice, 400, "invalid_value", "video")


def test_characters_start_videos(client, service, read_uploads):
    made = client.post("/v1/videos/characters", data={"name": "Mossy"}, files={"video": ("upload", b"clip")}).json()
    assert set(made) == {"id", "object", "created_at", "name"} and made["name"] == "Mossy"
    assert client.get(f"/v1/videos/characters/{made['id']}").json() == made
    for characters in ([{"id": made["id"]}], [made["id"]]):
        video = client.post("/v1/videos", json=PROMPT | {"characters": characters}).json()
        spec = service.videos[video["id"]][1].spec
        assert spec.task == "animate" and spec.source.num_frames == 16
    check_error(client.get("/v1/videos/characters/char_0"), 404, "character_not_found")
    check_error(client.post("/v1/videos/characters", data={"name": "x"}), 400, "invalid_value", "video")


def test_the_same_request_again(client, service):
    keyed = [client.post("/v1/videos", json=PROMPT, headers={"idempotency-key": "k"}).json()["id"] for _ in range(2)]
    assert keyed[0] == keyed[1]
    first, plain = (client.post("/v1/videos", json=PROMPT).json()["id"] for _ in range(2))
    assert len({first, plain, keyed[0]}) == 3
    again = [
        client.post(
            "/v1/videos",
            content=form(*PROMPT.items(), boundary=boundary),
            headers={
                "content-type": f"multipart/form-data; boundary={boundary}",
                "x-stainless-retry-count": count,
            },
        ).json()["id"]
        for boundary, count in (("a", "0"), ("b", "1"), ("c", "2"))
    ]
    assert len(set(again)) == 1
    check_error(
        client.post("/v1/videos", json=PROMPT, headers={"idempotency-key": "k" * 256}),
        400,
        "invalid_value",
        "Idempotency-Key",
    )


def test_a_full_queue_says_when_to_come_back(client, service):
    service.refusal = too_busy("64 videos are waiting", 7.2)
    response = client.post("/v1/videos", json=PROMPT)
    check_error(response, 429, "queue_full")
    assert response.headers["retry-after"] == "8" and response.json()["error"]["type"] == "rate_limit_error"


def test_a_bug_is_answered_in_the_envelope(client, service, caplog):
    service.refusal = KeyError("a bug")
    response = client.post("/v1/videos", json=PROMPT)
    message = check_error(response, 500, "internal_error")
    assert response.headers["x-request-id"] in message and "a bug" not in response.text
    assert "a bug" in caplog.text


def test_paths_and_methods_that_are_not_there(client):
    check_error(client.get("/v1/none"), 404, "path_not_found")
    wrong_method = client.put("/v1/videos")
    check_error(wrong_method, 405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "GET, POST"
    check_error(client.get("/v1/videos/"), 404, "path_not_found")
    for name in ("..%2f..%2fetc%2fpasswd", "video_%00", "a" * 300, "video_x'--"):
        assert client.get(f"/v1/videos/{name}").status_code == 404
        assert client.get(f"/v1/videos/{name}/content").status_code == 404


def test_bodies_that_cannot_be_read(client):
    as_json = {"content-type": "application/json"}
    for body in (
        b"",
        b"{",
        b"[]",
        b"nul",
        b'{"prompt": NaN}',
        b"[" * 9000,
        b"\xff\xfe",
        b'{"seed": ' + b"9" * 5000 + b"}",
    ):
        check_error(client.post("/v1/videos", content=body, headers=as_json), 400, "invalid_json")
    check_error(client.post("/v1/videos", content=b"[" * 20_000, headers=as_json), 400, "invalid_body")
    check_error(
        client.post("/v1/videos", content=b"x", headers={"content-type": "text/csv"}), 415, "unsupported_media_type"
    )
    for kind, body in (
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno headers"),
        ("multipart/form-data; boundary=x", b"garbage"),
        ("multipart/form-data; boundary=x", form(("a[b", 1))),
        ("multipart/form-data; boundary=x", form(("prompt", "a"), ("prompt", "b"))),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 2000)),
    ):
        response = client.post("/v1/videos", content=body, headers={"content-type": kind})
        assert response.status_code == 400 and response.json()["error"]["code"], (kind, body)


def test_large_bodies_are_refused_while_they_arrive(make_client):
    client = make_client(max_body_mb=1)

    def endless():
        for _ in range(40):
            yield b"x" * 2**16

    declared = client.post("/v1/videos", content=b"x" * (2**20 + 1))
    check_error(declared, 413, "body_too_large")
    check_error(client.post("/v1/videos", content=endless(), headers=AS_FORM), 413, "body_too_large")
    check_error(client.post("/v1/videos", content=endless()), 413, "body_too_large")


def test_a_body_that_stops_to_arrive_times_out():
    sent = []

    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass

    async def receive():
        await asyncio.Event().wait()
        return {}

    async def send(message):
        sent.append(message)

    async def app_with_answer(scope, receive, send):
        from ozora.serve.guard import answer_error

        try:
            await app(scope, receive, send)
        except ApiError as error:
            await answer_error(error)(scope, receive, send)

    guard = Guard(app_with_answer, 1000, CollectorRegistry(), idle_seconds=0.01)
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"5")]}
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 408 and json.loads(sent[1]["body"])["error"]["code"] == "body_timeout"


def test_keys_part_callers(make_client, engine, service):
    client = make_client()
    assert client.get("/v1/videos").status_code == 200  # no key yet, and only this machine can reach it
    texts = [keys.create_key(engine, name)[1] for name in ("one", "two")]
    message = check_error(client.get("/v1/videos"), 401, "invalid_api_key")
    assert "Bearer" in message
    check_error(client.get("/v1/videos", headers={"authorization": "Bearer sk-wrong"}), 401, "invalid_api_key")
    mine, theirs = ({"authorization": f"Bearer {text}"} for text in texts)
    video_id = client.post("/v1/videos", json=PROMPT, headers=mine).json()["id"]
    service.finish(video_id)
    assert client.get(f"/v1/videos/{video_id}", headers=mine).status_code == 200
    for method, path in (
        ("GET", ""),
        ("GET", "/content"),
        ("DELETE", ""),
        ("POST", "/remix"),
        ("POST", "/cancel"),
    ):
        body = PROMPT if path == "/remix" else None
        response = client.request(method, f"/v1/videos/{video_id}{path}", json=body, headers=theirs)
        check_error(response, 404, "video_not_found")
    edit = client.post("/v1/videos/edits", json=PROMPT | {"video": {"id": video_id}}, headers=theirs)
    check_error(edit, 404, "video_not_found")
    assert client.get("/v1/videos", headers=theirs).json()["data"] == []
    assert client.get("/healthz").status_code == 200


def test_without_keys_only_this_machine_is_answered(make_client):
    client = make_client()
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}, {"origin": "null"}):
        check_error(client.post("/v1/videos", json=PROMPT, headers=headers), 403, "not_local")
    for headers in ({"host": "localhost:8000"}, {"host": "[::1]:8000"}, {"origin": "http://localhost:3000"}):
        assert client.get("/v1/videos", headers=headers).status_code == 200
    open_to_all = make_client(host="0.0.0.0")
    check_error(open_to_all.get("/v1/videos"), 401, "invalid_api_key")


def test_health_and_metrics(client, service):
    assert client.get("/healthz").json() == {"status": "ok"} and client.get("/readyz").status_code == 200
    service.reason = "the model is loading"
    assert check_error(client.get("/readyz"), 503, "not_ready") == "the model is loading"
    client.post("/v1/videos", json=PROMPT)
    text = client.get("/metrics").text
    assert "ozora_videos_queued 1.0" in text
    assert 'ozora_http_requests_total{method="POST",route="/v1/videos",status="200"} 1.0' in text


def test_the_openapi_document_names_everything(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) >= {
        "/v1/videos",
        "/v1/videos/{video_id}",
        "/v1/videos/{video_id}/content",
        "/v1/videos/{video_id}/remix",
        "/v1/videos/edits",
        "/v1/videos/extensions",
        "/v1/videos/characters",
        "/v1/videos/characters/{character_id}",
    }
    body = document["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert {"prompt", "seconds", "size", "input_reference"} <= set(body["multipart/form-data"]["schema"]["properties"])
    edit = document["paths"]["/v1/videos/edits"]["post"]["requestBody"]["content"]
    for kind in ("application/json", "multipart/form-data"):
        assert edit[kind]["schema"]["required"] == ["prompt", "video"]
    assert "$ref" not in json.dumps(body) and "HTTPValidationError" not in json.dumps(document)
