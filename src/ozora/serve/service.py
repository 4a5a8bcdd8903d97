"""What does the HTTP side ask of the rest? A ``Service``: jobs that outlive the process, each owned by one tenant.

Every call blocks (the HTTP side calls from threads), may be made from any thread, and refuses with ``ApiError``. What
belongs to another tenant is refused exactly as what does not exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from ozora.serve.spec import Media, VideoSpec

Status = Literal["queued", "in_progress", "completed", "failed"]
Variant = Literal["video", "thumbnail", "spritesheet"]
Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class Attempt:
    """How a POST is told from its own repetition.

    ``fingerprint`` is a hash of route and content. ``key`` is the caller's ``Idempotency-Key``: the same key gives the
    same answer, and other content under a used key is refused with 422 ``idempotency_key_reused``. ``is_retry``: the
    client says that it sends this again, so what it made of the same content a short while ago is the answer.
    """

    fingerprint: str
    key: str | None = None
    is_retry: bool = False


@dataclass(frozen=True)
class Failure:
    """Why a video failed: a ``code`` for programs, a ``message`` for people."""

    code: str
    message: str


@dataclass(frozen=True)
class VideoRecord:
    """A video as its owner may see it. Times are whole seconds since 1970.

    ``progress`` is 0 to 100, and 100 only where completed. A cancelled video is "failed" with code "cancelled", an
    expired one with code "expired". ``poll_after_ms`` is when asking again makes sense. ``queue_position`` is 0 for the
    next to start and None once started, ``seconds_left`` an estimate. ``variation_ids`` are the videos that were asked
    for together, this one among them; empty for one alone.
    """

    id: str
    spec: VideoSpec
    status: Status
    progress: int
    created_at: int
    completed_at: int | None = None
    expires_at: int | None = None
    error: Failure | None = None
    queue_position: int | None = None
    seconds_left: float | None = None
    poll_after_ms: int | None = None
    variation_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class VideoPage:
    """Some of a tenant's videos, in order, and whether there are more behind the last."""

    videos: tuple[VideoRecord, ...]
    has_more: bool


@dataclass(frozen=True)
class CharacterRecord:
    """A reference clip with a name."""

    id: str
    name: str
    created_at: int
    media: Media


@runtime_checkable
class Service(Protocol):
    """Durable jobs, from the request that is stored to the files that are delivered."""

    def start(self) -> None:
        """Start to work, and take up what an earlier process left. Called once, before the first request."""
        ...

    def stop(self) -> None:
        """Park the work, so that the next start takes it up. Nothing is called after it."""
        ...

    def submit(self, tenant: str, specs: Sequence[VideoSpec], attempt: Attempt) -> tuple[VideoRecord, ...]:
        """Admit and store: one video per spec (variations), all or none. On return they are durable.

        Chooses every ``render_size``, and holds every source's file: the caller removes what was uploaded. A source's
        ``video_id`` must still be a finished video of this tenant. Refuses
        with 429 and ``retry_after`` where the queue is full, 400 ``size_too_large`` (``param="size"``) where a strict
        size or no size at all is affordable; the message names the largest that is.
        """
        ...

    def get(self, tenant: str, video_id: str) -> VideoRecord:
        """404 ``video_not_found`` where there is none."""
        ...

    def list(self, tenant: str, after: str | None, limit: int, order: Order) -> VideoPage:
        """Up to ``limit`` videos by creation, behind the video ``after`` (400 ``invalid_value``, ``param="after"``)."""
        ...

    def delete(self, tenant: str, video_id: str) -> None:
        """Stop the work if there is any, then forget the video and remove its files."""
        ...

    def cancel(self, tenant: str, video_id: str) -> VideoRecord:
        """Stop the work; the video stays, failed with code "cancelled". One that is over stays as it is."""
        ...

    def content(self, tenant: str, video_id: str, variant: Variant) -> Path:
        """The file: mp4, webp or jpg. 400 ``video_not_ready`` while unfinished, 404 ``video_expired`` once removed."""
        ...

    def source(self, tenant: str, video_id: str) -> tuple[Media, VideoSpec]:
        """A finished video as a source for another, with the spec it was made from. Refuses as ``content`` does."""
        ...

    def create_character(self, tenant: str, name: str, media: Media, attempt: Attempt) -> CharacterRecord: ...

    def character(self, tenant: str, character_id: str) -> CharacterRecord:
        """404 ``character_not_found`` where there is none."""
        ...

    def why_not_ready(self) -> str | None:
        """None when requests can be taken, else the reason in words."""
        ...

    def gauges(self) -> Mapping[str, float]:
        """Numbers for monitoring: name (``[a-z_]+``) -> value, such as ``videos_queued``."""
        ...
