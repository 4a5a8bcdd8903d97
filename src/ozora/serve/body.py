"""What did a client send? Multipart, form fields with brackets, or JSON: nested fields, and at most one file.

Clients agree on little. The Python SDK sends ``extra_body={"a": {"b": 1}}`` as the field ``a[b]`` and a list as
``a[]``; the keys of a list of objects arrive column by column. JSON is what older versions and plain HTTP send.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ozora.serve.errors import ApiError, invalid

MAX_FIELDS = 512
MAX_FIELD_BYTES = 24 * 2**20
MAX_JSON_BYTES = 24 * 2**20
"""A picture of 16 MiB as base64 fits."""
MAX_JSON_PARTS = 10_000
"""Values in a JSON body. They are counted before it is parsed: a few MiB of "[[],[]..." would make a GiB of objects."""
MAX_NAME = 200
TEXT = re.compile(r"prompt|negative|name|.*\[prompt\]")
"""Fields in which "null" is a word."""
NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


@dataclass(frozen=True)
class Body:
    """Nested ``fields``, and the ``file`` with the name of its field, where there is one."""

    fields: dict[str, Any]
    file: UploadFile | None = None
    file_field: str | None = None

    def fingerprint(self, route: str, file_hash: str = "") -> str:
        """The same for the same content sent again, whatever the boundary and the order of fields."""
        text = json.dumps([route, self.fields, self.file_field, file_hash], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


async def read_body(request: Request, file_field: str | None = None) -> Body:
    """Parse a request's body. Its bytes were limited before (``guard.py``); a file may stand under ``file_field`` only.

    The file is on disk without a name, or in memory if small; ``request.close()`` drops it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _read_form(request, file_field)
    if kind not in ("", "application/json"):
        raise ApiError(
            415, "unsupported_media_type", f"content-type {kind[:80]!r}; send application/json or multipart/form-data"
        )
    return Body(parse_json(await request.body()))


async def _read_form(request: Request, file_field: str | None) -> Body:
    try:
        form = await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except HTTPException as error:
        raise invalid(f"the form cannot be read: {error.detail}", code="invalid_body") from None
    except (ValueError, LookupError) as error:
        raise invalid("the form cannot be read", code="invalid_body") from error
    items = form.multi_items()
    # An empty file is what a required argument leaves behind that was meant to be replaced by a reference.
    files = [(value, key) for key, value in items if isinstance(value, UploadFile) and value.size]
    file, name = files[0] if files else (None, None)
    if file is not None and name != file_field:
        wanted = f"the file belongs into {file_field}" if file_field else "this request takes no file"
        raise invalid(f"{str(name)[:80]!r} is a file; {wanted}", str(name)[:80], "unknown_parameter")
    # A form has no null. Clients make an empty value of it, or the word.
    pairs = [
        (key, value)
        for key, value in items
        if isinstance(value, str) and (value not in ("", "null") or TEXT.fullmatch(key))
    ]
    return Body(nest(pairs), file, name)


def nest(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Form fields as nested objects: ``a[b]`` is a key of ``a``, ``a[]`` and ``a[0]`` are items of a list.

    The i-th ``a[][b]`` belongs to the i-th item, which holds for row by row and for column by column.
    """
    seen: dict[str, int] = {}
    nested: dict[str, Any] = {}
    for name, value in pairs:
        match = NAME.fullmatch(name[:MAX_NAME])
        if match is None or len(name) > MAX_NAME:
            raise invalid(f"{name[:80]!r} is no field name; write a, a[b] or a[]", name[:80], "unknown_parameter")
        number = seen[name] = seen.get(name, -1) + 1
        keys = [match[1], *(str(number) if key == "" else key for key in re.findall(r"\[([^\[\]]*)\]", match[2]))]
        if len(keys) > 4 or (number and "[]" not in name):
            _refuse_name(name, "twice" if number else "too deep")
        place = nested
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                _refuse_name(name, "both a value and an object")
        if keys[-1] in place:
            _refuse_name(name, "twice")
        place[keys[-1]] = value
    return {name: _as_lists(value) for name, value in nested.items()}


def _refuse_name(name: str, how: str) -> NoReturn:
    raise invalid(f"the field {name[:80]!r} is there {how}", name[:80], "invalid_body")


def _as_lists(value: Any) -> Any:
    """Objects whose keys are 0, 1, 2, ... as lists."""
    if not isinstance(value, dict):
        return value
    value = {key: _as_lists(item) for key, item in value.items()}
    if all(key.isascii() and key.isdecimal() for key in value) and sorted(map(int, value)) == list(range(len(value))):
        return [value[str(i)] for i in range(len(value))]
    return value


def parse_json(data: bytes) -> dict[str, Any]:
    """A JSON object; 400 for anything else, before it costs memory."""
    if len(data) > MAX_JSON_BYTES:
        raise ApiError(
            413, "body_too_large", f"{len(data)} bytes of JSON; at most {MAX_JSON_BYTES}; send a file instead"
        )
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_JSON_PARTS:
        raise invalid(f"the JSON has more than {MAX_JSON_PARTS} values", code="invalid_body")
    try:
        fields = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise invalid(f"the body is no JSON{place}", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise invalid("the body must be a JSON object", code="invalid_json")
    return {name: value for name, value in fields.items() if value is not None}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
