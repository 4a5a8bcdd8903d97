"""What code written for ``openai.OpenAI().videos`` does, done with whatever version is installed beside this script.

    python check_sdk.py BASE_URL KEY OTHER_KEY SAMPLES

Every operation, synchronous and asynchronous. Prints what it did as JSON; any surprise is an ``AssertionError``.
"""

import asyncio
import io
import json
import sys
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("ignore", DeprecationWarning)  # the SDK tells that the service closed

import openai  # noqa: E402

STATUSES = ("queued", "in_progress", "completed", "failed")
MAGIC = {"video": (4, b"ftyp"), "thumbnail": (8, b"WEBP"), "spritesheet": (0, b"\xff\xd8\xff")}
SHORT = {"seconds": "1", "size": "48x32"}
HAS_ALL = hasattr(openai.resources.videos.Videos, "edit")  # older ones know five operations of the ten


def main(base_url, key, other_key, samples):
    done = {"version": openai.__version__, "has_all": HAS_ALL}
    with (
        openai.OpenAI(base_url=base_url, api_key=key) as client,
        openai.OpenAI(base_url=base_url, api_key=other_key) as other,
        openai.OpenAI(base_url=base_url, api_key="sk-wrong") as stranger,
    ):
        done["videos"] = [check_making(client, samples)]
        video_id = done["videos"][0]
        check_content(client, video_id)
        done["videos"] += check_pictures(client, samples)
        done["videos"] += check_following(client, video_id, samples)
        done["failed"] = check_cancelling(client)
        check_pages(client)
        check_errors(client, other, stranger, video_id, samples)
        check_models(client)
        check_deleting(client, done["videos"][1])
    asyncio.run(check_async(base_url, key, other_key, samples))
    print(json.dumps(done))


def check_video(video, **expected):
    assert video.object == "video" and video.id.startswith("video_"), video
    assert video.status in STATUSES and 0 <= video.progress <= 100 and isinstance(video.progress, int), video
    assert isinstance(video.created_at, int) and isinstance(video.seconds, str), video
    for name, value in expected.items():
        assert getattr(video, name) == value, (name, value, video)
    if video.status == "completed":
        assert video.progress == 100 and video.completed_at >= video.created_at, video
        assert video.error is None and video.expires_at > video.completed_at, video


def expect(kind, call, code=None, param=None, words=()):
    try:
        call()
    except kind as error:
        assert type(error) is kind, error
        assert isinstance(error.body, dict) and error.body["message"], error.body
        assert error.request_id, error
        assert code is None or error.code == code, (error.code, code, error)
        assert param is None or error.param == param, (error.param, param, error)
        assert all(word in error.body["message"] for word in words), (error, words)
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def check_making(client, samples):
    raw = client.videos.with_raw_response.create(prompt="a red ball falls", **SHORT)
    assert int(raw.headers["openai-poll-after-ms"]) > 0
    assert raw.headers["x-request-id"]
    video = raw.parse()
    check_video(video, model="sora-2", size="48x32", seconds="1", prompt="a red ball falls")
    assert video.status in ("queued", "in_progress") and video.completed_at is None
    video = client.videos.poll(video.id)
    check_video(video, status="completed", prompt="a red ball falls")
    polled = client.videos.create_and_poll(
        prompt="a blue cube", model="sora-2-pro", **SHORT, extra_body={"seed": 7, "steps": 2, "guidance": 1.5}
    )
    check_video(polled, status="completed", model="sora-2-pro")
    assert client.videos.retrieve(video.id) == video
    return video.id


def check_content(client, video_id):
    for variant, (start, magic) in MAGIC.items():
        data = client.videos.download_content(video_id, variant=variant).read()
        assert data[start : start + len(magic)] == magic, (variant, data[:16])
    whole = client.videos.download_content(video_id)
    with tempfile.TemporaryDirectory() as folder:
        whole.write_to_file(f"{folder}/video.mp4")
        assert Path(folder, "video.mp4").read_bytes() == whole.content
    part = client.videos.with_raw_response.download_content(video_id, extra_headers={"Range": "bytes=4-7"})
    assert part.http_response.status_code == 206 and part.http_response.content == b"ftyp"
    assert part.headers["content-range"] == f"bytes 4-7/{len(whole.content)}"
    with client.videos.with_streaming_response.download_content(video_id) as response:
        assert b"".join(response.iter_bytes()) == whole.content


def check_pictures(client, samples):
    picture = samples / "first.png"
    with picture.open("rb") as file:
        given = [client.videos.create(prompt="it moves", input_reference=file, **SHORT)]
    given.append(client.videos.create(prompt="it moves", input_reference=picture.read_bytes(), **SHORT))
    given.append(
        client.videos.create(prompt="it moves", input_reference=("../../x.exe", picture.read_bytes()), **SHORT)
    )
    named = {"image_url": to_data_url(picture)}
    given.append(client.videos.create(prompt="it moves", **SHORT, extra_body={"input_reference": named, "seed": 3}))
    for video in given:
        check_video(client.videos.poll(video.id), status="completed", size="48x32")
    sizes = ("64x32", "48x32")
    for call in (
        lambda: client.videos.create(prompt="x", input_reference=(samples / "wide.png").read_bytes(), **SHORT),
        lambda: client.videos.create(
            prompt="x", **SHORT, extra_body={"input_reference": {"image_url": to_data_url(samples / "wide.png")}}
        ),
    ):
        expect(openai.BadRequestError, call, param="input_reference", words=sizes)
    return [video.id for video in given]


def to_data_url(path):
    import base64

    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def check_following(client, video_id, samples):
    """Remix, edit, extend and characters."""
    remix = client.videos.remix(video_id, prompt="a green ball falls")
    check_video(remix, remixed_from_video_id=video_id, prompt="a green ball falls", size="48x32")
    made = [remix]
    if HAS_ALL:
        clip = (samples / "clip.mp4").read_bytes()
        by_id = {"video": {"id": video_id}}
        nothing = openai.omit if hasattr(openai, "omit") else openai.NOT_GIVEN
        made.append(client.videos.edit(prompt="at night", video=clip))
        made.append(client.videos.edit(prompt="at night", video=nothing, extra_body=by_id | {"strength": 0.4}))
        made.append(client.videos.extend(prompt="it rolls on", seconds="1", video=io.BytesIO(clip)))
        made.append(client.videos.extend(prompt="it rolls on", seconds="2", video=nothing, extra_body=by_id))
        assert [video.seconds for video in made[-2:]] == ["2", "3"], made[-2:]
        character = client.videos.create_character(name="Bo", video=clip)
        assert character.name == "Bo" and isinstance(character.created_at, int)
        assert client.videos.get_character(character.id).to_dict() == character.to_dict()
        used = {"characters": [{"id": character.id}]}
        made.append(client.videos.create(prompt="Bo walks", **SHORT, extra_body=used))
        expect(openai.NotFoundError, lambda: client.videos.get_character("char_none"))
    for video in made:
        video = client.videos.poll(video.id)
        check_video(video, status="completed")
    check_video(client.videos.retrieve(remix.id), remixed_from_video_id=video_id)
    expect(openai.NotFoundError, lambda: client.videos.remix("video_none", prompt="x"))
    return [video.id for video in made]


def check_cancelling(client):
    """Cancelling is the server's own; the client sees a failed video with a code."""
    video = client.videos.create(prompt="a long one", seconds="6", size="48x32", extra_body={"steps": 200})
    expect(openai.BadRequestError, lambda: client.videos.download_content(video.id))
    cancelled = client.post(f"/videos/{video.id}/cancel", cast_to=type(video))
    check_video(cancelled, status="failed")
    polled = client.videos.poll(video.id)
    assert polled.error.code == "cancelled" and polled.error.message, polled
    return video.id


def check_pages(client):
    videos = list(client.videos.list(limit=100))
    assert len(videos) >= 5 and len({video.id for video in videos}) == len(videos)
    times = [video.created_at for video in videos]
    assert times == sorted(times, reverse=True)
    page = client.videos.list(limit=2)
    assert len(page.data) == 2 and page.has_more is True and page.last_id == page.data[-1].id
    assert [video.id for video in page] == [video.id for video in videos]  # page after page
    rising = [video.id for video in client.videos.list(limit=3, order="asc")]
    assert rising == [video.id for video in videos][::-1]
    rest = client.videos.list(after=videos[2].id, limit=100)
    assert [video.id for video in rest.data] == [video.id for video in videos[3:]] and rest.has_more is False
    expect(openai.BadRequestError, lambda: client.videos.list(after="video_none"), param="after")


def check_errors(client, other, stranger, video_id, samples):
    expect(openai.AuthenticationError, lambda: stranger.videos.retrieve(video_id))
    expect(openai.AuthenticationError, lambda: stranger.videos.create(prompt="x"))
    for call in (
        lambda: other.videos.retrieve(video_id),
        lambda: other.videos.download_content(video_id),
        lambda: other.videos.delete(video_id),
        lambda: other.videos.remix(video_id, prompt="x"),
        lambda: client.videos.retrieve("video_none"),
    ):
        expect(openai.NotFoundError, call)
    assert video_id not in [video.id for video in other.videos.list(limit=100)]
    bad = openai.BadRequestError
    expect(bad, lambda: client.videos.create(prompt="x", seconds="soon"), param="seconds")
    expect(bad, lambda: client.videos.create(prompt="x", seconds="-4"), param="seconds")
    expect(bad, lambda: client.videos.create(prompt="x", size="huge"), param="size")
    expect(bad, lambda: client.videos.create(prompt="x", model="gpt-x"), param="model")
    expect(bad, lambda: client.videos.create(prompt=""), param="prompt")
    expect(bad, lambda: client.videos.create(prompt="x", **SHORT, extra_body={"seed": "x"}), param="seed")
    expect(
        bad, lambda: client.videos.create(prompt="x", input_reference=b"no picture", **SHORT), param="input_reference"
    )
    strict = {"strict_size": True}
    expect(bad, lambda: client.videos.create(prompt="x", size="4096x4096", extra_body=strict), param="size")


def check_models(client):
    names = [model.id for model in client.models.list()]
    assert "sora-2" in names and "sora-2-pro" in names, names
    assert client.models.retrieve("sora-2").id == "sora-2"


def check_deleting(client, video_id):
    gone = client.videos.delete(video_id)
    assert (gone.id, gone.deleted, gone.object) == (video_id, True, "video.deleted"), gone
    expect(openai.NotFoundError, lambda: client.videos.retrieve(video_id))
    expect(openai.NotFoundError, lambda: client.videos.download_content(video_id))
    expect(openai.NotFoundError, lambda: client.videos.delete(video_id))


async def check_async(base_url, key, other_key, samples):
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key) as client:
        polled = await asyncio.gather(
            *(client.videos.create_and_poll(prompt=f"ball {i}", **SHORT, extra_body={"seed": i}) for i in range(3)),
            client.videos.create_and_poll(prompt="x", input_reference=samples / "first.png", **SHORT),
        )
        for video in polled:
            check_video(video, status="completed")
        video = polled[0]
        assert await client.videos.retrieve(video.id) == video
        data = (await client.videos.download_content(video.id, variant="thumbnail")).read()
        assert data[8:12] == b"WEBP"
        page = await client.videos.list(limit=2)
        seen = []
        async for one in page:
            seen.append(one.id)
            if len(seen) == 5:
                break
        assert len(set(seen)) == 5
        made = [await client.videos.remix(video.id, prompt="again")]
        if HAS_ALL:
            clip = (samples / "clip.mp4").read_bytes()
            made.append(await client.videos.edit(prompt="at night", video=clip))
            made.append(await client.videos.extend(prompt="on", seconds="1", video=clip))
            character = await client.videos.create_character(name="Al", video=clip)
            assert (await client.videos.get_character(character.id)).name == "Al"
        for one in made:
            check_video(await client.videos.poll(one.id), status="completed")
        assert (await client.videos.delete(video.id)).deleted
        try:
            await client.videos.retrieve(video.id)
        except openai.NotFoundError as error:
            assert error.code and error.request_id
        else:
            raise AssertionError("a deleted video was found")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
