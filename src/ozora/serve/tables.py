"""How do videos lie in the database? Four tables, a video as a value, and how the database is opened.

Times are whole seconds since 1970. ``store`` asks the questions.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event

from ozora.serve.spec import Media, VideoSpec

State = Literal["queued", "in_progress", "completed", "failed", "expired", "deleted"]
"""``expired`` had files once; ``deleted`` is only there until its work has stopped and its files are gone."""

METADATA = sa.MetaData()
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
VIDEOS = sa.Table(
    "videos",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("tenant", sa.String(128), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("batch", sa.String(64), nullable=False),
    sa.Column("cost_seconds", sa.Float, nullable=False),
    sa.Column("turn", sa.BigInteger, nullable=False),
    sa.Column("turn_end", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("progress", sa.Integer, nullable=False, default=0),
    sa.Column("seconds_left", sa.Float),
    sa.Column("completed_at", sa.BigInteger),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.Text),
    sa.Column("worker", sa.String(128)),
    sa.Column("claims", sa.Integer, nullable=False, default=0),
    sa.Column("num_bytes", sa.BigInteger, nullable=False, default=0),
    sa.Column("media", sa.JSON(none_as_null=True)),
    sa.Column("files", sa.JSON, nullable=False, default=dict),
    sa.Index("videos_of_tenant", "tenant", "number"),
    sa.Index("videos_by_state", "state", "turn"),
    sqlite_autoincrement=True,
)
CHARACTERS = sa.Table(
    "characters",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("tenant", sa.String(128), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("media", sa.JSON, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("tenant", sa.String(128), nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("fingerprint", sa.String(128), nullable=False),
    sa.Column("made", sa.JSON, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("tenant", "key"),
    sa.Index("attempts_by_content", "tenant", "fingerprint"),
)
WORKERS = sa.Table(
    "workers",
    METADATA,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("beat", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True)
class Video:
    """A row of the table of videos.

    ``turn`` orders the queue, in tenths of seconds of rendering. ``claims`` counts how often a worker has taken the
    video up: whoever holds an older count has lost it. ``batch`` is shared by videos that were asked for together.
    ``media`` describes the finished video, and ``files`` names what can be downloaded, by variant.
    """

    number: int
    id: str
    tenant: str
    state: State
    spec: VideoSpec
    batch: str
    cost_seconds: float
    turn: int
    turn_end: int
    created_at: int
    progress: int
    seconds_left: float | None
    completed_at: int | None
    expires_at: int | None
    error_code: str | None
    error_message: str | None
    worker: str | None
    claims: int
    num_bytes: int
    media: Media | None
    files: Mapping[str, str]

    @staticmethod
    def from_row(row: Mapping[Any, Any]) -> "Video":
        """The row, by the names of its columns, as a value."""
        left = row["seconds_left"]
        return Video(
            **{
                **row,
                "spec": VideoSpec.from_json(row["spec"]),
                "media": row["media"] and Media(**row["media"]),
                "cost_seconds": float(row["cost_seconds"]),  # SQLite may return 1 for 1.0.
                "seconds_left": None if left is None else float(left),
            }
        )


def new_id(kind: Literal["video", "char", "evt"]) -> str:
    """A name that nobody can guess and that is safe as a file name."""
    return f"{kind}_{secrets.token_hex(16)}"


def open_engine(url: str) -> sa.Engine:
    """A database as the service uses it. SQLite is in WAL mode, waits for locks, and syncs at every commit.

    Whoever reads and then writes in one SQLite transaction asks for ``execution_options(begin="IMMEDIATE")``.
    """
    engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # Transactions begin below, not where the driver guesses.
            for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")

    return engine
