"""What do the server and its renderer say to each other? Three values, and the protocol that the server relies on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from ozora.serve.cost import Cost
from ozora.serve.spec import VideoSpec

OutcomeKind = Literal["done", "failed", "cancelled", "parked"]


@dataclass(frozen=True)
class RenderJob:
    """One video to render for one tenant. ``spec.render_size`` is set.

    ``folder`` is the job's own: what is saved on the way lies there, and at the end the three files.
    """

    id: str
    tenant: str
    spec: VideoSpec
    folder: Path

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "tenant": self.tenant, "spec": self.spec.to_json(), "folder": str(self.folder)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "RenderJob":
        spec = VideoSpec.from_json(values["spec"])
        return RenderJob(values["id"], values["tenant"], spec, Path(values["folder"]))


@dataclass(frozen=True)
class RenderProgress:
    """How far a job is.

    ``queue_position`` counts the jobs that start before it: 0 for the next one and for one that has started.
    ``seconds_left`` is an estimate by the measured cost model, with the company that the job has now.
    """

    step: int
    num_steps: int
    started: bool
    queue_position: int
    seconds_left: float


@dataclass(frozen=True)
class Outcome:
    """How a job ended, or that it is parked: saved, to be submitted again after the next start.

    Where it failed, ``code`` is for programs ("invalid_request", "render_failed", "render_crashed") and ``message`` for
    people. ``files`` names the files in the job's folder: "video", "thumbnail" and "spritesheet"; the video has
    ``num_frames`` at ``fps``.
    """

    kind: OutcomeKind
    code: str = ""
    message: str = ""
    render_size: tuple[int, int] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    num_frames: int = 0
    fps: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"files": dict(self.files)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Outcome":
        size = values["render_size"]
        return Outcome(**{**values, "render_size": None if size is None else (int(size[0]), int(size[1]))})


@runtime_checkable
class Renderer(Protocol):
    """Renders jobs, many at a time. Every call may be made from any thread."""

    def start(self) -> None:
        """Return when jobs can be rendered; ``RuntimeError`` in one line where the model cannot be used."""
        ...

    def stop(self) -> None:
        """Park all work within one step; whoever waits gets the outcome "parked"."""
        ...

    def submit(self, job: RenderJob) -> None:
        """Take a job up, from what lies in its folder if there is something. A job that is here already stays as is."""
        ...

    def wait(self, job_id: str, timeout_s: float | None = None) -> Outcome | None:
        """The outcome once there is one, None after ``timeout_s`` without. ``KeyError`` for an id that is not here."""
        ...

    def cancel(self, job_id: str) -> None:
        """Stop the job within one step; its outcome is "cancelled". One that is over or unknown stays as it is."""
        ...

    def forget(self, job_id: str) -> None:
        """Drop a job that is over."""
        ...

    def progress(self, job_id: str) -> RenderProgress:
        """``KeyError`` for an id that is not here."""
        ...

    def estimate(self, spec: VideoSpec) -> Cost:
        """What the spec takes at its ``render_size``, or at its ``size`` where that is None."""
        ...

    def why_not(self, spec: VideoSpec) -> str:
        """Why the spec is beyond what one job may take, in one sentence; empty where it is not."""
        ...

    def render_size(self, spec: VideoSpec) -> tuple[int, int] | None:
        """The largest size of ``spec.size``'s aspect that one job may be drawn at; None where there is none."""
        ...

    def seconds_waiting(self) -> float:
        """When all that is submitted will be done, in seconds from now."""
        ...

    def why_not_ready(self) -> str:
        """Why no job is being rendered now; empty where all is well."""
        ...

    def gauges(self) -> Mapping[str, float]:
        """Numbers for monitoring."""
        ...
