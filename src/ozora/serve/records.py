"""How is a stored video told? To its owner with one of four states, its place in the queue, and the truth on expiry.

And to whoever holds the finished file: by what was asked for.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ozora.serve.cost import poll_after_ms
from ozora.serve.errors import ApiError
from ozora.serve.service import Failure, Status, VideoRecord
from ozora.serve.store import Store
from ozora.serve.tables import State, Video

STATUS: dict[State, Status] = {
    "queued": "queued",
    "in_progress": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "expired": "failed",
}


def status_of(video: Video, now: int) -> tuple[Status, Failure | None]:
    """The video's state as callers know it. Expired is what is past its time, whether or not it was removed yet."""
    is_past = video.state == "completed" and video.expires_at is not None and video.expires_at <= now
    if video.state == "expired" or is_past:
        moment = datetime.fromtimestamp(video.expires_at or 0, UTC)
        return "failed", Failure("expired", f"the video expired at {moment:%Y-%m-%d %H:%M:%S} UTC; its files are gone")
    failure = Failure(video.error_code or "", video.error_message or "") if video.state == "failed" else None
    return STATUS[video.state], failure


def check_finished(video: Video, now: int) -> None:
    """Raises ``ApiError`` where there are no files to have: 404 ``video_expired``, 400 ``video_not_ready``."""
    status, failure = status_of(video, now)
    if failure is not None and failure.code == "expired":
        raise ApiError(404, "video_expired", failure.message)
    if status != "completed":
        reason = f"failed: {failure.message}" if failure else f"is {status}, {video.progress} % done"
        raise ApiError(400, "video_not_ready", f"video {video.id!r} {reason}")


def make_records(store: Store, videos: Sequence[Video], now: int) -> tuple[VideoRecord, ...]:
    """What the owner of these videos may see of them.

    A video that no renderer has judged yet is expected when all before it are done, shared among the workers.
    """
    line = store.line() if any(video.state in ("queued", "in_progress") for video in videos) else {}
    num_workers = max(1, len(store.beats())) if line else 1
    batches = store.batches(videos)
    records = []
    for video in videos:
        status, failure = status_of(video, now)
        before, seconds_left = line.get(video.id), None
        if before is not None:
            guess = before.seconds / num_workers + video.cost_seconds
            seconds_left = guess if video.seconds_left is None else video.seconds_left
        together = batches[video.batch]
        records.append(
            VideoRecord(
                id=video.id,
                spec=video.spec,
                status=status,
                progress=video.progress if video.state != "expired" else 0,
                created_at=video.created_at,
                completed_at=video.completed_at if status == "completed" else None,
                expires_at=video.expires_at,
                error=failure,
                queue_position=before.num_videos if before is not None and status == "queued" else None,
                seconds_left=seconds_left,
                poll_after_ms=None if seconds_left is None else poll_after_ms(seconds_left),
                variation_ids=together if len(together) > 1 else (),
            )
        )
    return tuple(records)


def settings_of(video: Video) -> dict[str, Any]:
    """What a finished file says of itself, in JSON's types and for people to read. It names no file of this machine."""
    values = {name: value for name, value in asdict(video.spec).items() if name != "source" and value not in (None, "")}
    for name in {"size", "render_size"} & values.keys():
        values[name] = "{}x{}".format(*values[name])
    values["script"] = [f"{start:g} s: {text}" for start, text in video.spec.script]
    return {"id": video.id, **values}
