"""How does a caller learn that a video is over without asking? The server posts an event, signed, until it is taken.

The format is that of Standard Webhooks (standardwebhooks.com, version 1), as the closed service sent it. That an event
is sent at all, and sent again, is ``durable``'s promise; here it is made, signed and posted once.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ozora.serve.settings import ServeSettings
from ozora.serve.tables import Video

PREFIX = "whsec_"
DELAYS = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Seconds before each further attempt: three and a half days in all."""
TIMEOUT = 15.0


@dataclass(frozen=True)
class Endpoint:
    """Whom to tell: a URL, and the secret that it knows us by."""

    url: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Endpoint({self.url})"  # the secret must not reach a log


def open_endpoint(settings: ServeSettings) -> Endpoint | None:
    """The endpoint of the settings; a secret is made in the data folder where none is given.

    Raises ``ValueError`` for a secret that is none.
    """
    if settings.webhook is None:
        return None
    path = settings.webhook_secret
    if path is None:
        path = settings.data / "webhook_secret"
        _make_secret(path)
    try:
        text = path.read_text(encoding="ascii").strip()
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise ValueError(f"no webhook secret can be read from {path}: {error}") from error
    if not text.startswith(PREFIX) or not 24 <= len(secret) <= 64:
        raise ValueError(f"{path} holds no webhook secret; it must be {PREFIX} and 24 to 64 bytes in base64")
    return Endpoint(settings.webhook, secret)


def make_event(video: Video) -> dict[str, Any] | None:
    """What there is to tell of a video that is over. A video has one event, with one id; None where there is none."""
    if video.state not in ("completed", "failed") or video.completed_at is None:
        return None
    return {
        "id": "evt_" + video.id.removeprefix("video_"),
        "object": "event",
        "created_at": video.completed_at,
        "type": f"video.{video.state}",
        "data": {"id": video.id},
    }


def sign(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: HMAC-SHA256 of ``id.timestamp.body``."""
    digest = hmac.digest(secret, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode("ascii")


def post(endpoint: Endpoint, event: dict[str, Any], now: int) -> str | None:
    """Post an event once. None when it was taken (2xx), else why not. Redirects are not followed."""
    import httpx2

    body = json.dumps(event, separators=(",", ":")).encode()
    headers = {
        "content-type": "application/json",
        "webhook-id": event["id"],
        "webhook-timestamp": str(now),
        "webhook-signature": sign(endpoint.secret, event["id"], now, body),
    }
    try:
        # The environment's proxies are not asked, and the answer's body is not read.
        with (
            httpx2.Client(timeout=TIMEOUT, trust_env=False) as client,
            client.stream("POST", endpoint.url, content=body, headers=headers) as response,
        ):
            return None if response.is_success else f"it answered {response.status_code}"
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return str(error) or type(error).__name__


def _make_secret(path: Path) -> None:
    # Several workers may start at once: the link is made by one of them, and whole.
    if path.exists():
        return
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    text = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    with contextlib.suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()
