"""How is the server configured? One frozen value, made from the command line; nothing is read from the environment."""

import ipaddress
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from tyro.conf import arg

MEBI = 2**20


def _option(default: str, metavar: str) -> Any:
    """An option that is None unless it is given; the help says in words what None stands for."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


@dataclass(frozen=True)
class ServeSettings:
    """All that an operator can choose. Raises ``ValueError`` for what cannot be meant.

    Everything the server writes lies under ``data``; one folder belongs to one server, or to several workers that
    share it and one PostgreSQL ``database``.
    """

    data: Path = Path("ozora-data")
    """Folder for jobs, files and keys; it is made if it is not there."""
    host: str = "127.0.0.1"
    """Address to listen on. Beyond this machine an API key must exist: ozora keys create."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    model: str = "mini"
    """A shipped name, a model folder, or a Hugging Face id in the local cache."""
    device: Annotated[str | None, _option("the best there is", "NAME")] = None
    """Where to compute: cpu, cuda or mps."""
    dtype: Annotated[str | None, _option("the device's", "NAME")] = None
    """Numbers to compute with: float32, bfloat16 or float16."""
    threads: Annotated[int | None, _option("torch's choice", "INT")] = None
    """Threads of the processor for rendering."""
    database: Annotated[str | None, _option("a SQLite file in the data folder", "URL")] = None
    """URL of a PostgreSQL database that several workers share."""
    worker: Annotated[str | None, _option("this machine's name", "NAME")] = None
    """This worker's name, the same at every start; needed where several workers share a database."""

    max_row_tokens: Annotated[int | None, _option("what the memory allows", "INT")] = None
    """Tokens of a forward pass, the sum over the videos that share it."""
    max_memory_mb: Annotated[int | None, _option("three quarters of what is free at the start", "INT")] = None
    """Memory that rendering may take, in MiB."""
    max_render_seconds: float = 600.0
    """A render that alone would take longer than this is drawn smaller; beyond the smallest size it is refused."""
    max_seconds: float = 60.0
    """The longest video that can be asked for."""
    save_steps: int = 5
    """Every how many steps a render's state is saved, so that it goes on from there after a crash."""

    max_queued: int = 256
    """Videos waiting in all; more are refused with 429."""
    max_queued_per_key: int = 64
    """Videos of one key waiting; more are refused with 429."""
    max_variations: int = 8
    """Variations of one request."""
    keep_hours: float = 24.0
    """How long the files of a finished video stay."""
    max_disk_mb: int = 10240
    """Files in all, in MiB. When they are more, the oldest finished videos expire early."""

    max_body_mb: int = 64
    """A request's body, in MiB; more is refused while it arrives."""
    max_upload_frames: int = 1024
    """Frames of a clip that is given; checked before they are decoded."""
    max_upload_pixels: int = 4096 * 2304
    """Pixels of a picture or of a frame that is given; checked before they are decoded."""
    max_upload_seconds: float = 120.0
    """Length of a clip that is given."""
    image_urls: bool = False
    """Fetch pictures that a request names by https URL, from public addresses only."""

    webhook: Annotated[str | None, _option("nobody is told", "URL")] = None
    """URL to tell of finished and failed videos."""
    webhook_secret: Annotated[Path | None, _option("made in the data folder", "FILE")] = None
    """File with the secret ("whsec_...") that signs what is sent there."""
    certificate: Annotated[Path | None, _option("a development certificate", "FILE")] = None
    """PEM chain that signs finished videos (C2PA)."""
    private_key: Annotated[Path | None, _option("beside the development certificate", "FILE")] = None
    """PEM key of the certificate."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and field.name != "port"
            if is_number and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name} is {value}; it must be above 0")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}; it must be from 0 to 65535, 8000 for instance")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key belong together; give both or neither")
        if self.webhook is not None and urlsplit(self.webhook).scheme not in ("http", "https"):
            raise ValueError(f"webhook is {self.webhook!r}; it must be a URL that starts with https:// or http://")
        if self.worker is not None and self.database is None:
            raise ValueError("worker names one of several that share a database; give the database too")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def database_url(self) -> str:
        """Where jobs and keys are stored, as SQLAlchemy names it."""
        if self.database is None:
            return f"sqlite:///{(self.data / 'ozora.db').resolve()}"
        scheme, separator, rest = self.database.partition("://")
        return f"postgresql+psycopg{separator}{rest}" if scheme in ("postgres", "postgresql") else self.database

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mb * MEBI
