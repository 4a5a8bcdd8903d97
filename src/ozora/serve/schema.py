"""What do the API's JSON objects look like? What clients send, what they get, and the envelope of every error.

Requests arrive as JSON or as form fields, in which everything is text, so numbers and truth values are taken as text
too. A name that is not known is refused: an option that does nothing would be worse.
"""

import json
import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ozora.serve.errors import ApiError, invalid
from ozora.serve.service import CharacterRecord, Status, VideoPage, VideoRecord

MIN_SIDE, MAX_SIDE = 16, 4096
DEFAULT_SIZE, DEFAULT_SECONDS = "720x1280", 4.0
MAX_CHARACTERS = 10_000
"""Of a prompt, as the text encoder has it."""


def _check_text(text: str) -> str:
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("it holds NUL or half of a surrogate pair, which is no text; leave it out")
    return text


def _check_prompt(text: str) -> str:
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise ValueError("it is empty; describe what should be seen, 'a red ball falls' for instance")
    return text


def _from_text(value: Any) -> Any:
    """An object or a list that came through a form as JSON text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _image_from_text(value: Any) -> Any:
    value = _from_text(value)
    return {"image_url": value} if isinstance(value, str) else value


def _character_from_text(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "720x1280"; ``ValueError`` names the nearest size where no video can have this one."""
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*[xX\u00d7]\s*([0-9]{1,6})\s*", text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no size; write width x height in pixels, {DEFAULT_SIZE} for instance")
    width, height = int(match[1]), int(match[2])
    near = [min(max(side // 2 * 2, MIN_SIDE), MAX_SIDE) for side in (width, height)]
    if near != [width, height]:
        raise ValueError(
            f"{width}x{height}: both sides must be even, from {MIN_SIDE} to {MAX_SIDE}; "
            f"the nearest size is {near[0]}x{near[1]}"
        )
    return width, height


def _check_size(text: str) -> str:
    width, height = parse_size(text)
    return f"{width}x{height}"


Text = Annotated[str, AfterValidator(_check_text), Field(max_length=MAX_CHARACTERS)]
Prompt = Annotated[Text, AfterValidator(_check_prompt), Field(min_length=1, examples=["a red ball falls and bounces"])]
Name = Annotated[str, AfterValidator(_check_text), Field(min_length=1, max_length=128)]
Size = Annotated[str, AfterValidator(_check_size), Field(examples=["720x1280", "64x64"])]
Seconds = Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)]
Seed = Annotated[int | None, Field(ge=0, lt=2**63 - 2**16, description="Chooses the noise; 0 unless given.")]
Steps = Annotated[int | None, Field(ge=1, le=1000, description="Steps from noise to clip.")]
Guidance = Annotated[float | None, Field(ge=0, le=100, description="How strongly to follow the prompt; 1 is none.")]
Fps = Annotated[float | None, Field(ge=0.1, le=120, description="Frames per second.")]
Strength = Annotated[float | None, Field(ge=0, le=1, description="0 keeps the clip as it is, 1 forgets it.")]
Variations = Annotated[int, Field(ge=1, le=1024, description="How many videos; the i-th has the seed plus i.")]
StrictSize = Annotated[bool, Field(description="Refuse a size that is too dear instead of drawing it smaller.")]

REQUEST = ConfigDict(extra="forbid", str_strip_whitespace=False)


class ImageReference(BaseModel):
    """A picture by URL: `data:image/...;base64,...`, or https where the operator allows it."""

    model_config = REQUEST
    image_url: str | None = Field(None, max_length=24 * 2**20)
    file_id: str | None = Field(None, max_length=256)


class VideoReference(BaseModel):
    """A finished video by its id."""

    model_config = REQUEST
    id: Name


class Shot(BaseModel):
    """A prompt that takes over at a second of the video."""

    model_config = REQUEST
    start: float = Field(gt=0, le=600)
    prompt: Prompt


Storyboard = Annotated[
    list[Shot],
    BeforeValidator(_from_text),
    Field(max_length=64, description="Prompts that take over later; the prompt itself holds until the first."),
]
Characters = Annotated[
    list[Annotated[VideoReference, BeforeValidator(_character_from_text)]],
    BeforeValidator(_from_text),
    Field(max_length=1, description="A character to start from, as its first frame."),
]
Source = Annotated[VideoReference | None, BeforeValidator(_from_text)]


class CreateVideo(BaseModel):
    """`POST /v1/videos`. `input_reference` is a file or an `ImageReference`."""

    model_config = REQUEST
    prompt: Prompt
    model: Name = "sora-2"
    seconds: Seconds = DEFAULT_SECONDS
    size: Size = DEFAULT_SIZE
    input_reference: Annotated[ImageReference | None, BeforeValidator(_image_from_text)] = None
    characters: Characters = []
    seed: Seed = None
    steps: Steps = None
    guidance: Guidance = None
    negative: Text = ""
    fps: Fps = None
    loop: bool = Field(False, description="End where the video began, within its seconds.")
    storyboard: Storyboard = []
    variations: Variations = 1
    strict_size: StrictSize = False


class RemixVideo(BaseModel):
    """`POST /v1/videos/{id}/remix`."""

    model_config = REQUEST
    prompt: Prompt
    strength: Strength = None
    seed: Seed = None
    steps: Steps = None
    guidance: Guidance = None
    negative: Text = ""
    variations: Variations = 1
    strict_size: StrictSize = False


class EditVideo(BaseModel):
    """`POST /v1/videos/edits`. `video` is a file or a `VideoReference`."""

    model_config = REQUEST
    prompt: Prompt
    video: Source = None
    model: Name | None = None
    strength: Strength = None
    seed: Seed = None
    steps: Steps = None
    guidance: Guidance = None
    negative: Text = ""
    variations: Variations = 1
    strict_size: StrictSize = False


class ExtendVideo(BaseModel):
    """`POST /v1/videos/extensions`. `seconds` is the new part's; `video` is a file or a `VideoReference`."""

    model_config = REQUEST
    prompt: Prompt
    seconds: Seconds
    video: Source = None
    model: Name | None = None
    seed: Seed = None
    steps: Steps = None
    guidance: Guidance = None
    negative: Text = ""
    variations: Variations = 1
    strict_size: StrictSize = False


class CreateCharacter(BaseModel):
    """`POST /v1/videos/characters`. `video` is a file or a `VideoReference`."""

    model_config = REQUEST
    name: Name
    video: Source = None


class VideoError(BaseModel):
    code: str
    message: str


class Video(BaseModel):
    """A video and how far it is. What stands below `size` is Ozora's own."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Status
    progress: int = Field(ge=0, le=100)
    created_at: int
    completed_at: int | None = None
    expires_at: int | None = None
    error: VideoError | None = None
    prompt: str | None = None
    remixed_from_video_id: str | None = None
    seconds: str
    size: str
    render_size: str | None = Field(None, description="What is drawn, then scaled to `size`.")
    seed: int
    queue_position: int | None = Field(None, description="0 is the next to start; null once started.")
    estimated_seconds: float | None = Field(None, description="Seconds until it is done, by measured speed.")
    variation_ids: list[str] = Field([], description="The videos asked for together, this one among them.")


class VideoList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


class Character(BaseModel):
    id: str
    object: Literal["character"] = "character"
    created_at: int
    name: str


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "ozora"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class Problem(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class ErrorEnvelope(BaseModel):
    """What every refusal and failure answers."""

    error: Problem


Wish = TypeVar("Wish", bound=BaseModel)


def parse_wish(kind: type[Wish], fields: dict[str, Any]) -> Wish:
    """The fields as a request of that kind; 400 names the first that is at fault, and what would do."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False, include_context=False), kind) from None


def from_validation(problems: Any, kind: type[BaseModel] | None = None) -> ApiError:
    """The first of Pydantic's ``problems`` as a refusal; ``kind`` knows the names that a wrong one may have meant."""
    problem = problems[0]
    path = [str(part) for part in problem["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(path)[:80] or None
    message = str(problem["msg"]).removeprefix("Value error, ")
    match problem["type"]:
        case "missing":
            return invalid(f"{param} is missing; it is required", param, "missing_required_parameter")
        case "extra_forbidden":
            near = get_close_matches(path[-1], list(kind.model_fields), 1) if kind and len(path) == 1 else []
            hint = f"; did you mean {near[0]}?" if near else ""
            return invalid(f"{param} is no parameter of this request{hint}", param, "unknown_parameter")
        case _:
            given = problem.get("input")
            shown = f" {str(given)[:40]!r}" if isinstance(given, str | int | float) else ""
            return invalid(f"{param}{shown}: {message}", param)


def envelope(error: ApiError) -> dict[str, Any]:
    """The body of an error's answer."""
    message, param = (text and text.encode("utf-8", "replace").decode() for text in (error.message, error.param))
    problem = Problem(message=message or error.code, type=error.type, param=param, code=error.code)
    return ErrorEnvelope(error=problem).model_dump()


def show_video(record: VideoRecord) -> Video:
    """A stored video as the API shows it."""
    spec = record.spec
    return Video(
        id=record.id,
        model=spec.model,
        status=record.status,
        progress=record.progress,
        created_at=record.created_at,
        completed_at=record.completed_at,
        expires_at=record.expires_at,
        error=None if record.error is None else VideoError(code=record.error.code, message=record.error.message),
        prompt=spec.prompt,
        remixed_from_video_id=spec.remixed_from,
        seconds=show_number(spec.delivered_seconds),
        size=show_size(spec.size),
        render_size=None if spec.render_size is None else show_size(spec.render_size),
        seed=spec.seed,
        queue_position=record.queue_position,
        estimated_seconds=record.seconds_left,
        variation_ids=list(record.variation_ids),
    )


def show_page(page: VideoPage) -> VideoList:
    """A page with the ids that clients go on from: without them they stop after page one."""
    data = [show_video(record) for record in page.videos]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return VideoList(data=data, first_id=first, last_id=last, has_more=page.has_more)


def show_character(record: CharacterRecord) -> Character:
    return Character(id=record.id, created_at=record.created_at, name=record.name)


def show_number(value: float) -> str:
    """4.0 as "4", 6.125 as "6.125"."""
    return f"{round(value, 3):.3f}".rstrip("0").rstrip(".")


def show_size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def body_document(kind: type[BaseModel], file_field: str | None = None) -> dict[str, Any]:
    """The request body for the OpenAPI document: JSON, and a form in which ``file_field`` may be a file.

    A field ``video`` must be there, one way or the other.
    """
    document = kind.model_json_schema()
    parts = document.pop("$defs", {})
    schema = _inlined(document, parts)
    if file_field == "video":
        reference = schema["properties"]["video"]["anyOf"][0]
        schema["properties"]["video"] = reference
        schema["required"] = [*schema["required"], "video"]
    form = schema
    if file_field is not None:
        given = schema["properties"][file_field]
        either = {"anyOf": [{"type": "string", "format": "binary"}, given], "description": "A file, or a reference."}
        form = schema | {"properties": schema["properties"] | {file_field: either}}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """The schema with its references replaced by what they name."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(parts[schema["$ref"].rpartition("/")[2]], parts)
        return {name: _inlined(value, parts) for name, value in schema.items()}
    return [_inlined(value, parts) for value in schema] if isinstance(schema, list) else schema
