"""What does a caller learn when a request is refused? One exception, which becomes the API's error envelope."""

from dataclasses import dataclass

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(eq=False)
class ApiError(Exception):
    """A refusal: HTTP ``status``, a ``code`` for programs, a ``message`` for people.

    ``param`` names the field at fault. ``retry_after`` is in seconds: clients do not retry where it is above 120.
    Raised by everything below the HTTP side (store, uploads, admission) and by the HTTP side itself.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None

    @property
    def type(self) -> str:
        """The API's name for this kind of error."""
        return TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    def __str__(self) -> str:
        return self.message


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """400: the request itself is at fault, and would be again."""
    return ApiError(400, code, message, param)


def not_found(kind: str, name: str) -> ApiError:
    """404: there is no such thing, or it belongs to another caller; which of the two is not said."""
    return ApiError(404, f"{kind}_not_found", f"no {kind} {name!r} was found")


def too_busy(message: str, retry_after: float, code: str = "queue_full") -> ApiError:
    """429: not now; after ``retry_after`` seconds, at most 120 of which are told so that clients do retry."""
    return ApiError(429, code, message, retry_after=min(retry_after, 120.0))
