"""What stands between the socket and the routes? Limits on what arrives, a name for every request, and counts.

Bodies are limited while they arrive, before anything parses them. Every error leaves in the API's envelope, also what
the framework says in plain text and what only a bug can cause.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ozora.serve.errors import ApiError
from ozora.serve.schema import envelope

IDLE_SECONDS = 30.0
"""A client that sends nothing of its body for so long is told so with 408."""
PLAIN = {400: "invalid_request", 416: "range_not_satisfiable"}
log = logging.getLogger(__name__)


def answer_error(error: ApiError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that a refusal becomes, with ``headers`` beside those that say when and how to try again."""
    headers = dict(headers or {})
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(envelope(error), error.status, headers)


class Guard:
    """ASGI middleware around all routes; ``max_body_bytes`` bounds every request's body."""

    def __init__(
        self, app: ASGIApp, max_body_bytes: int, registry: CollectorRegistry, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self.app, self.max_body_bytes, self.idle_seconds = app, max_body_bytes, idle_seconds
        labels = ("method", "route", "status")
        self.requests = Counter("ozora_http_requests", "Requests answered.", labels, registry=registry)
        self.seconds = Histogram("ozora_http_seconds", "Time to an answer's end.", labels[:2], registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, headers = time.perf_counter(), Headers(scope=scope)
        length = headers.get("content-length", "0")
        declared = int(length) if length.isascii() and length.isdecimal() else 0
        arrival = Arrival(receive, declared > 0 or "transfer-encoding" in headers, self)
        departure = Departure(send, arrival, "expect" not in headers)
        try:
            if declared > self.max_body_bytes:
                await answer_error(self.too_large(str(declared)))(scope, receive, departure)
            else:
                await self.app(scope, arrival, departure)
        except ClientDisconnect:
            departure.status = 499
        except Exception:
            log.exception("request %s failed", departure.request_id)
            if departure.status is not None:
                raise  # half an answer is out: the connection must end
            message = f"an error of the server; its log names it {departure.request_id}"
            await answer_error(ApiError(500, "internal_error", message))(scope, receive, departure)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if route != "none" else "none"
            self.requests.labels(method, route, str(departure.status)).inc()
            self.seconds.labels(method, route).observe(time.perf_counter() - started)

    def too_large(self, size: str) -> ApiError:
        return ApiError(413, "body_too_large", f"the body has {size} bytes; at most {self.max_body_bytes} are accepted")


class Arrival:
    """``receive`` of one request, which raises ``ApiError`` once its body is too large or stops to arrive."""

    def __init__(self, receive: Receive, has_body: bool, guard: Guard) -> None:
        self.receive, self.is_arriving, self.guard = receive, has_body, guard
        self.num_bytes = 0

    async def __call__(self) -> Message:
        if not self.is_arriving:
            return await self.receive()
        try:
            message = await self._next()
        except TimeoutError:
            self.is_arriving = False
            seconds = self.guard.idle_seconds
            raise ApiError(408, "body_timeout", f"nothing of the body arrived for {seconds:g} seconds") from None
        if self.num_bytes > self.guard.max_body_bytes:
            raise self.guard.too_large(f"more than {self.guard.max_body_bytes}")
        return message

    async def drain(self) -> None:
        """Read on for a while, so that a client that is still sending can hear that it was refused."""
        most = self.num_bytes + self.guard.max_body_bytes
        while self.is_arriving and self.num_bytes <= most:
            try:
                await self._next()
            except TimeoutError:
                break
        self.is_arriving = False

    async def _next(self) -> Message:
        message = await asyncio.wait_for(self.receive(), self.guard.idle_seconds)
        self.num_bytes += len(message.get("body", b""))
        self.is_arriving = message.get("more_body", False)
        return message


class Departure:
    """``send`` of one request: it names the request, and puts the framework's plain words into the envelope.

    ``status`` is None until an answer has begun.
    """

    def __init__(self, send: Send, arrival: Arrival, may_drain: bool) -> None:
        self.send, self.arrival, self.may_drain = send, arrival, may_drain
        self.status: int | None = None
        self.request_id = f"req_{secrets.token_hex(12)}"
        self.plain: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            if self.may_drain:
                await self.arrival.drain()
            if message["status"] >= 400 and headers.get("content-type", "").startswith("text/plain"):
                self.plain = message
                return
        elif self.plain is not None:
            await self._send_plain(self.plain, message)
            self.plain = None
            return
        await self.send(message)

    async def _send_plain(self, start: Message, end: Message) -> None:
        status, headers = start["status"], MutableHeaders(scope=start)
        text = end.get("body", b"").decode("utf-8", "replace")[:500] or "the range lies outside of the file"
        response = answer_error(ApiError(status, PLAIN.get(status, "invalid_request"), text))
        headers["content-length"], headers["content-type"] = str(len(response.body)), "application/json"
        await self.send(start)
        await self.send({"type": "http.response.body", "body": response.body})
