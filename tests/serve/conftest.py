"""A service in memory, and clients of the application around it."""

import secrets
import struct
import time
import zlib
from dataclasses import replace

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from ozora.serve.errors import ApiError, invalid, not_found
from ozora.serve.service import Attempt, CharacterRecord, Failure, VideoPage, VideoRecord
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import Media, VideoSpec


class FakeService:
    """What the HTTP side needs of a service, in dictionaries. Tests finish videos by hand."""

    def __init__(self, folder):
        self.folder, self.is_running = folder, False
        self.videos: dict[str, tuple[str, VideoRecord]] = {}
        self.characters: dict[str, tuple[str, CharacterRecord]] = {}
        self.attempts: dict[tuple[str, str], tuple[str, ...]] = {}
        self.asked: list[Attempt] = []
        self.refusal: Exception | None = None
        self.reason: str | None = None

    def start(self):
        self.is_running = True

    def stop(self):
        self.is_running = False

    def submit(self, tenant, specs, attempt):
        self.asked.append(attempt)
        if self.refusal is not None:
            raise self.refusal
        names = [attempt.key] if attempt.key else [attempt.fingerprint] if attempt.is_retry else []
        for name in names:
            if (tenant, name) in self.attempts:
                return tuple(self.videos[video_id][1] for video_id in self.attempts[tenant, name])
        ids = tuple(f"video_{secrets.token_hex(16)}" for _ in specs)
        for video_id, spec in zip(ids, specs):
            spec = replace(spec, render_size=(min(spec.size[0], 64), min(spec.size[1], 64)))
            self.videos[video_id] = (
                tenant,
                VideoRecord(
                    video_id,
                    spec,
                    "queued",
                    0,
                    int(time.time()),
                    queue_position=len(self.videos),
                    seconds_left=2.5,
                    poll_after_ms=1250,
                    variation_ids=ids if len(ids) > 1 else (),
                ),
            )
        self.attempts[tenant, attempt.key or attempt.fingerprint] = ids
        return tuple(self.videos[video_id][1] for video_id in ids)

    def get(self, tenant, video_id):
        owner, record = self.videos.get(video_id, (None, None))
        if record is None or owner != tenant:
            raise not_found("video", video_id)
        return record

    def list(self, tenant, after, limit, order):
        records = [record for owner, record in self.videos.values() if owner == tenant]
        records = records if order == "asc" else records[::-1]
        if after is not None:
            ids = [record.id for record in records]
            if after not in ids:
                raise invalid(f"no video {after!r} was found", "after")
            records = records[ids.index(after) + 1 :]
        return VideoPage(tuple(records[:limit]), len(records) > limit)

    def delete(self, tenant, video_id):
        self.get(tenant, video_id)
        del self.videos[video_id]

    def cancel(self, tenant, video_id):
        record = replace(self.get(tenant, video_id), status="failed", error=Failure("cancelled", "it was cancelled"))
        self.videos[video_id] = tenant, record
        return record

    def content(self, tenant, video_id, variant):
        if self.get(tenant, video_id).status != "completed":
            raise ApiError(400, "video_not_ready", f"video {video_id} is not finished")
        suffix = {"video": "mp4", "thumbnail": "webp", "spritesheet": "jpg"}[variant]
        return self.folder / f"{video_id}.{suffix}"

    def source(self, tenant, video_id):
        self.content(tenant, video_id, "video")
        spec: VideoSpec = self.get(tenant, video_id).spec
        frames = round(spec.delivered_seconds * 8)
        return Media(f"jobs/{video_id}/video.mp4", "0" * 64, *spec.size, frames, 8.0, video_id), spec

    def create_character(self, tenant, name, media, attempt):
        record = CharacterRecord(f"char_{secrets.token_hex(16)}", name, int(time.time()), media)
        self.characters[record.id] = tenant, record
        return record

    def character(self, tenant, character_id):
        owner, record = self.characters.get(character_id, (None, None))
        if record is None or owner != tenant:
            raise not_found("character", character_id)
        return record

    def why_not_ready(self):
        return self.reason

    def gauges(self):
        return {"videos_queued": float(len(self.videos))}

    def finish(self, video_id):
        """The video is done: three small files."""
        tenant, record = self.videos[video_id]
        for suffix in ("mp4", "webp", "jpg"):
            (self.folder / f"{video_id}.{suffix}").write_bytes(suffix.encode() * 100)
        done = replace(record, status="completed", progress=100, completed_at=int(time.time()), queue_position=None)
        self.videos[video_id] = tenant, done


@pytest.fixture
def engine():
    """A database in memory that all threads share."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    yield engine
    engine.dispose()


@pytest.fixture
def service(tmp_path):
    return FakeService(tmp_path)


@pytest.fixture
def make_client(tmp_path, service, engine):
    """A function: options of ``ServeSettings`` -> a client, on this machine, of the running application."""
    from starlette.testclient import TestClient

    from ozora.serve.app import make_app

    running = []

    def make(**options):
        app = make_app(service, ServeSettings(data=tmp_path, **options), engine)
        running.append(TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False))
        return running[-1].__enter__()

    yield make
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture
def png():
    """A function: (width, height) -> a small grey PNG of that size."""

    def make(width, height):
        def chunk(name, data):
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + parts

    return make


@pytest.fixture
def read_uploads(monkeypatch):
    """Uploads are looked at in this process, by their first bytes: a PNG's size, or a clip of 16 frames of 64x48."""

    def look(path, folder, settings):
        data = path.read_bytes()
        path.unlink()
        if data.startswith(b"\x89PNG"):
            width, height = struct.unpack(">II", data[16:24])
            kind, size, num_frames, fps = "png", (width, height), 1, 1.0
        elif data.startswith(b"clip"):
            kind, size, num_frames, fps = "mp4", (64, 48), 16, 8.0
        else:
            raise ApiError(400, "invalid_video", "the file is of no kind that can be read")
        name = f"{secrets.token_hex(16)}.{kind}"
        (folder / name).write_bytes(data)
        return Media(f"{folder.name}/{name}", f"{zlib.crc32(data):064x}", *size, num_frames, fps)

    monkeypatch.setattr("ozora.serve.intake.check_upload", look)
