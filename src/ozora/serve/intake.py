"""How does a request become stored jobs? Its body is read, what it gives is looked at, and the service is asked.

Files lie under names of our own in the folder for uploads; what the client calls them is never read. They are gone once
the request is answered: what a job needs it holds in its own folder. After a crash, retention removes them.
"""

import base64
import contextlib
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote_to_bytes

import anyio
from anyio.to_thread import run_sync
from fastapi import Request
from starlette.datastructures import UploadFile

from ozora.serve import wishes
from ozora.serve.body import Body, read_body
from ozora.serve.errors import ApiError, invalid, not_found
from ozora.serve.fetch import fetch_image
from ozora.serve.schema import (
    CreateCharacter,
    CreateVideo,
    EditVideo,
    ExtendVideo,
    ImageReference,
    RemixVideo,
    VideoReference,
    parse_wish,
)
from ozora.serve.service import Attempt, CharacterRecord, Service, VideoRecord
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import Media, VideoSpec
from ozora.serve.upload import check_upload

IDENTIFIER = re.compile(r"[a-z]{1,16}_[0-9A-Za-z]{1,64}")
NUM_UPLOADS_AT_ONCE = 2


@dataclass(frozen=True)
class Intake:
    """Where what is asked for comes in. ``looking`` bounds how many files are looked at at once."""

    service: Service
    settings: ServeSettings
    looking: anyio.CapacityLimiter

    @property
    def folder(self) -> Path:
        """Where files lie until a job has them."""
        return self.settings.data / "uploads"

    async def create(self, request: Request, tenant: str) -> tuple[VideoRecord, ...]:
        async with reading(request, "input_reference") as body:
            wish = parse_wish(CreateVideo, body.fields)
            character = [await self._character(tenant, wish.characters[0])] if wish.characters else [None]
            async with self._picture(wish.input_reference, body) as picture:
                specs = wishes.creation(wish, picture, character[0], self.settings)
                return await self._submit(request, tenant, specs, body, picture)

    async def remix(self, request: Request, tenant: str, video_id: str) -> tuple[VideoRecord, ...]:
        async with reading(request) as body:
            wish = parse_wish(RemixVideo, body.fields)
            source, origin = await self._video(tenant, video_id)
            specs = wishes.remix(wish, video_id, source, origin, self.settings)
            return await self._submit(request, tenant, specs, body)

    async def edit(self, request: Request, tenant: str) -> tuple[VideoRecord, ...]:
        async with reading(request, "video") as body:
            wish = parse_wish(EditVideo, body.fields)
            async with self._source(tenant, wish.video, body) as (source, origin):
                specs = wishes.edit(wish, source, origin, self.settings)
                return await self._submit(request, tenant, specs, body, source)

    async def extend(self, request: Request, tenant: str) -> tuple[VideoRecord, ...]:
        async with reading(request, "video") as body:
            wish = parse_wish(ExtendVideo, body.fields)
            async with self._source(tenant, wish.video, body) as (source, origin):
                specs = wishes.extension(wish, source, origin, self.settings)
                return await self._submit(request, tenant, specs, body, source)

    async def create_character(self, request: Request, tenant: str) -> CharacterRecord:
        async with reading(request, "video") as body:
            wish = parse_wish(CreateCharacter, body.fields)
            async with self._source(tenant, wish.video, body) as (source, _):
                attempt = attempt_of(request, body, source)
                return await run_sync(self.service.create_character, tenant, wish.name, source, attempt)

    async def _submit(
        self, request: Request, tenant: str, specs: tuple[VideoSpec, ...], body: Body, given: Media | None = None
    ) -> tuple[VideoRecord, ...]:
        return await run_sync(self.service.submit, tenant, specs, attempt_of(request, body, given))

    @contextlib.asynccontextmanager
    async def _source(
        self, tenant: str, reference: VideoReference | None, body: Body
    ) -> AsyncIterator[tuple[Media, VideoSpec | None]]:
        """The clip that ``video`` names or is."""
        if body.file is not None and reference is None:
            async with self._looked_at("video", partial(self._copy, body.file)) as media:
                yield media, None
        elif reference is not None and body.file is None:
            yield await self._video(tenant, reference.id)
        else:
            said = "is missing" if reference is None else "is there twice"
            raise invalid(f"video {said}; send one file, or the id of a finished video as video[id]", "video")

    @contextlib.asynccontextmanager
    async def _picture(self, reference: ImageReference | None, body: Body) -> AsyncIterator[Media | None]:
        """The picture that ``input_reference`` names or is, or None."""
        if reference is None and body.file is None:
            yield None
            return
        if reference is not None and body.file is not None:
            raise invalid("input_reference is there twice; send one file or one URL", "input_reference")
        get = partial(self._copy, body.file) if reference is None else partial(self._fetch, reference)
        async with self._looked_at("input_reference", get) as media:
            yield media

    @contextlib.asynccontextmanager
    async def _looked_at(self, param: str, get: Callable[[], Path]) -> AsyncIterator[Media]:
        """What ``get`` puts into the folder, checked by decoding it; it is gone afterwards."""
        media = None
        try:
            path = await run_sync(get)
            media = await run_sync(check_upload, path, self.folder, self.settings, limiter=self.looking)
            yield media
        except ApiError as error:
            error.param = error.param or param
            raise
        finally:
            if media is not None:
                (self.settings.data / media.file).unlink(missing_ok=True)

    def _copy(self, file: UploadFile | None) -> Path:
        assert file is not None
        path = self.folder / secrets.token_hex(16)
        with path.open("xb") as copy:
            shutil.copyfileobj(file.file, copy)
        return path

    def _fetch(self, reference: ImageReference) -> Path:
        if reference.image_url is None:
            raise invalid("there are no files to name by file_id here; send the picture itself, or its image_url")
        if reference.image_url[:5].lower() == "data:":
            path = self.folder / secrets.token_hex(16)
            path.write_bytes(data_of(reference.image_url))
            return path
        if not self.settings.image_urls:
            raise invalid(
                "pictures are not fetched here; send the picture itself, or as a data: URL", code="image_urls_disabled"
            )
        return fetch_image(reference.image_url, self.folder, self.settings.max_body_bytes)

    async def _video(self, tenant: str, video_id: str) -> tuple[Media, VideoSpec]:
        return await run_sync(self.service.source, tenant, check_id(video_id, "video"))

    async def _character(self, tenant: str, reference: VideoReference) -> Media:
        name = check_id(reference.id, "character")
        return (await run_sync(self.service.character, tenant, name)).media


@contextlib.asynccontextmanager
async def reading(request: Request, file_field: str | None = None) -> AsyncIterator[Body]:
    """The request's body; the file in it is dropped at the end."""
    try:
        yield await read_body(request, file_field)
    finally:
        await request.close()


def data_of(url: str) -> bytes:
    """What a ``data:`` URL holds; its media type is not believed, so it is not read."""
    head, comma, data = url.partition(",")
    try:
        if not comma:
            raise ValueError("no comma")
        return base64.b64decode(data, validate=True) if head.endswith(";base64") else unquote_to_bytes(data)
    except ValueError:
        message = "image_url is no data: URL that can be read; write data:image/png;base64,..."
        raise invalid(message, code="invalid_image_url") from None


def check_id(text: str, kind: str) -> str:
    """The id if it can be one; else it is not found, before any database sees it."""
    if IDENTIFIER.fullmatch(text) is None:
        raise not_found(kind, text[:80])
    return text


def attempt_of(request: Request, body: Body, given: Media | None) -> Attempt:
    """What tells this request from its own repetition (see ``Attempt``)."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise invalid("Idempotency-Key must be 1 to 255 printable ASCII characters", "Idempotency-Key")
    count = request.headers.get("x-stainless-retry-count", "0")
    fingerprint = body.fingerprint(request.url.path, given.sha256 if given and given.video_id is None else "")
    return Attempt(fingerprint, key, is_retry=count.isascii() and count.isdecimal() and count.strip("0") != "")
