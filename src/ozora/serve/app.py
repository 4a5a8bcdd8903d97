"""Which routes does the server have? The Videos API over a ``Service``, and what operators look at.

A route reads what was sent (``intake.py``), asks the service, and shows the answer (``schema.py``). Everything that
blocks runs in threads.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from starlette.exceptions import HTTPException

from ozora.serve import schema
from ozora.serve.errors import ApiError, invalid, not_found
from ozora.serve.guard import Guard, answer_error
from ozora.serve.intake import IDENTIFIER, NUM_UPLOADS_AT_ONCE, Intake, check_id
from ozora.serve.keys import LOCAL_TENANT, authenticate, has_keys, open_keys
from ozora.serve.schema import body_document, show_character, show_page, show_video
from ozora.serve.service import Order, Service, Variant, VideoRecord
from ozora.serve.settings import ServeSettings
from ozora.serve.wishes import model_names

LOOPBACK = re.compile(r"(https?://)?(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
FILES = {"video": ("mp4", "video/mp4"), "thumbnail": ("webp", "image/webp"), "spritesheet": ("jpg", "image/jpeg")}
CONTENT_DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for _, kind in FILES.values()}},
    206: {"description": "The part that the Range header asks for."},
}


def make_app(service: Service, settings: ServeSettings, engine: Engine) -> FastAPI:
    """The application. It starts and stops the ``service`` with itself; ``engine`` is where API keys are stored."""
    registry = CollectorRegistry()
    registry.register(Gauges(service))
    intake = Intake(service, settings, anyio.CapacityLimiter(NUM_UPLOADS_AT_ONCE))
    open_keys(engine)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        intake.folder.mkdir(parents=True, exist_ok=True)
        try:
            await run_sync(service.start)
        except Exception as error:
            app.state.failure = error  # for whoever runs the application: its server only says that it did not start
            raise
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(service.stop)

    app = FastAPI(
        title="Ozora",
        summary="The Videos API, on a model of one's own",
        version=version("ozora"),
        lifespan=lifespan,
        docs_url=None,  # their pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": {"model": schema.ErrorEnvelope}, "5XX": {"model": schema.ErrorEnvelope}},
    )
    for kind in (ApiError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer_refusal)
    app.state.settings, app.state.engine = settings, engine
    app.add_middleware(Guard, max_body_bytes=settings.max_body_bytes, registry=registry)
    app.include_router(making(intake))
    app.include_router(looking(service, settings))
    app.include_router(watching(service, registry))
    app.openapi = partial(document_of, app)
    return app


def tenant_of(request: Request) -> str:
    """Whose request it is: the key's tenant, or "local" where no key was ever made and only this machine can ask."""
    settings, engine = request.app.state.settings, request.app.state.engine
    if settings.is_loopback and not has_keys(engine):
        check_is_local(request)
        return LOCAL_TENANT
    return authenticate(engine, request.headers.get("authorization"))


Tenant = Annotated[str, Depends(tenant_of)]


def document_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document. Every operation takes a key, and none needs one as long as no key was made."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        document.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}, {}]
    assert app.openapi_schema is not None
    return app.openapi_schema


def making(intake: Intake) -> APIRouter:
    """Routes that make something: each answers what was stored."""
    router = APIRouter(tags=["videos"])

    @router.post("/v1/videos", openapi_extra=body_document(schema.CreateVideo, "input_reference"))
    async def create_video(request: Request, response: Response, tenant: Tenant) -> schema.Video:
        """Make a video from a prompt, and from a picture if one is given."""
        return answer(response, (await intake.create(request, tenant))[0])

    @router.post("/v1/videos/edits", openapi_extra=body_document(schema.EditVideo, "video"))
    async def edit_video(request: Request, response: Response, tenant: Tenant) -> schema.Video:
        """Turn a video into what the prompt describes."""
        return answer(response, (await intake.edit(request, tenant))[0])

    @router.post("/v1/videos/extensions", openapi_extra=body_document(schema.ExtendVideo, "video"))
    async def extend_video(request: Request, response: Response, tenant: Tenant) -> schema.Video:
        """Let a video go on; the answer is the whole, source and extension joined."""
        return answer(response, (await intake.extend(request, tenant))[0])

    @router.post("/v1/videos/{video_id}/remix", openapi_extra=body_document(schema.RemixVideo))
    async def remix_video(request: Request, response: Response, tenant: Tenant, video_id: str) -> schema.Video:
        """A finished video again, by another prompt."""
        return answer(response, (await intake.remix(request, tenant, video_id))[0])

    @router.post("/v1/videos/characters", openapi_extra=body_document(schema.CreateCharacter, "video"))
    async def create_character(request: Request, tenant: Tenant) -> schema.Character:
        """Keep a clip by name, to start videos from its first frame."""
        return show_character(await intake.create_character(request, tenant))

    return router


def looking(service: Service, settings: ServeSettings) -> APIRouter:
    """Routes that look at what there is, and that end it."""
    router = APIRouter(tags=["videos"])

    @router.get("/v1/videos")
    def list_videos(
        tenant: Tenant,
        after: Annotated[str | None, Query(max_length=128)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Order = "desc",
    ) -> schema.VideoList:
        """The caller's videos by creation, page by page."""
        if after is not None and IDENTIFIER.fullmatch(after) is None:
            raise invalid(f"{after[:80]!r} is no video's id", "after")
        return show_page(service.list(tenant, after, limit, order))

    @router.get("/v1/videos/characters/{character_id}")
    def get_character(tenant: Tenant, character_id: str) -> schema.Character:
        """A character by its id."""
        return show_character(service.character(tenant, check_id(character_id, "character")))

    @router.get("/v1/videos/{video_id}")
    def get_video(response: Response, tenant: Tenant, video_id: str) -> schema.Video:
        """A video and how far it is. The header openai-poll-after-ms says when to ask again."""
        return answer(response, service.get(tenant, check_id(video_id, "video")))

    @router.delete("/v1/videos/{video_id}")
    def delete_video(tenant: Tenant, video_id: str) -> schema.VideoDeleted:
        """Stop the work if there is any, and remove the video with its files."""
        service.delete(tenant, check_id(video_id, "video"))
        return schema.VideoDeleted(id=video_id)

    @router.post("/v1/videos/{video_id}/cancel")
    def cancel_video(response: Response, tenant: Tenant, video_id: str) -> schema.Video:
        """Stop the work; the video stays, failed with the code "cancelled". Ozora's own."""
        return answer(response, service.cancel(tenant, check_id(video_id, "video")))

    @router.get("/v1/videos/{video_id}/content", response_class=FileResponse, responses=CONTENT_DOCUMENT)
    def download_content(tenant: Tenant, video_id: str, variant: Variant = "video") -> FileResponse:
        """The finished video as mp4, its thumbnail as webp, or its spritesheet as jpg; Range requests work."""
        path = service.content(tenant, check_id(video_id, "video"), variant)
        suffix, media_type = FILES[variant]
        try:
            stat = path.stat()
        except FileNotFoundError:  # deleted since
            raise not_found("video", video_id) from None
        headers = {"cache-control": "private", "x-content-type-options": "nosniff"}
        name = f"{video_id}.{suffix}" if variant == "video" else f"{video_id}-{variant}.{suffix}"
        return FileResponse(path, headers=headers, media_type=media_type, filename=name, stat_result=stat)

    @router.get("/v1/models", tags=["models"])
    def list_models(tenant: Tenant) -> schema.ModelList:
        """The names that a request may use; they all mean the configured model."""
        return schema.ModelList(data=[schema.Model(id=name) for name in model_names(settings)])

    @router.get("/v1/models/{model}", tags=["models"])
    def get_model(tenant: Tenant, model: str) -> schema.Model:
        """One of the names that a request may use."""
        if model not in model_names(settings):
            raise not_found("model", model[:80])
        return schema.Model(id=model)

    return router


def watching(service: Service, registry: CollectorRegistry) -> APIRouter:
    """Routes for whoever runs the server."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    def readyz() -> dict[str, str]:
        """Requests can be taken; 503 says why not."""
        reason = service.why_not_ready()
        if reason:
            raise ApiError(503, "not_ready", reason, retry_after=5.0)
        return {"status": "ready"}

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics(tenant: Tenant) -> Response:
        """Counts and gauges in Prometheus' text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def answer(response: Response, record: VideoRecord) -> schema.Video:
    """The video as the API shows it; while it is under way, with when to ask again."""
    if record.status in ("queued", "in_progress") and record.poll_after_ms is not None:
        response.headers["openai-poll-after-ms"] = str(int(record.poll_after_ms))
    return show_video(record)


def check_is_local(request: Request) -> None:
    """Refuse what a web page in a browser on this machine sends to a server that needs no key.

    Its requests carry the page's origin or, where a foreign name was made to mean this machine, that name.
    """
    said = {"Host": request.headers.get("host", ""), "Origin": request.headers.get("origin", "localhost")}
    for name, value in said.items():
        if LOOPBACK.fullmatch(value) is None:
            message = f"{name} is {value[:80]!r}; a server without keys answers to this machine only: ozora keys create"
            raise ApiError(403, "not_local", message)


class Gauges(Collector):
    """The service's numbers, asked for when they are collected."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        for name, value in self.service.gauges().items():
            yield GaugeMetricFamily(f"ozora_{name}", name.replace("_", " "), value=value)


def _answer_refusal(request: Request, error: Exception) -> JSONResponse:
    """A refusal in the envelope: our own, of a query, or of the framework (a path or a method that there is not)."""
    if isinstance(error, ApiError):
        return answer_error(error)
    if isinstance(error, RequestValidationError):
        return answer_error(schema.from_validation(error.errors()))
    assert isinstance(error, HTTPException)
    codes = {404: "path_not_found", 405: "method_not_allowed"}
    problem = ApiError(error.status_code, codes.get(error.status_code, "invalid_request"), str(error.detail))
    if problem.status == 405:
        return answer_error(problem, {"allow": ", ".join(_methods_at(request))})
    return answer_error(problem, error.headers)


def _methods_at(request: Request) -> list[str]:
    """The methods of all routes at the request's path, by the OpenAPI document: a router knows only its own."""
    methods: set[str] = set()
    for path, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path):
            methods.update(operations)
    return sorted(method.upper() for method in methods)
