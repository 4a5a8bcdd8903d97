"""What does the service remember? Every question that is asked of the tables of videos, characters and attempts.

A caller's questions name the tenant, always: there is no way to ask for "video X" without saying who asks. What was
committed stays through kill -9. Times are whole seconds since 1970.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from ozora.serve.errors import ApiError, invalid
from ozora.serve.service import Attempt, CharacterRecord, Order
from ozora.serve.spec import Media, VideoSpec
from ozora.serve.tables import ATTEMPTS, CHARACTERS, METADATA, VIDEOS, WORKERS, State, Video, new_id, open_engine

__all__ = ["Store", "Waiting", "new_id", "open_engine"]

ACTIVE: tuple[State, ...] = ("queued", "in_progress")
RETRY_WINDOW = 120
"""Seconds in which a client's repeated POST is taken for the one that it repeats."""
MAX_TURN = 2**31 - 2
"""The largest turn, in tenths of seconds: the queue's priorities are positive 32-bit numbers."""
_ADDING = 7203
"""The PostgreSQL advisory lock under which videos are added; any number that nothing else uses."""


@dataclass(frozen=True)
class Waiting:
    """What stands before a video: how many that have not started, and the seconds of all on one worker."""

    num_videos: int
    seconds: float


class Store:
    """The tables of one service. Safe to use from any thread; every call is one transaction."""

    def __init__(self, url: str) -> None:
        """Open the database at ``url`` and make the tables that are not there."""
        self.engine = open_engine(url)
        self._writer = self.engine.execution_options(begin="IMMEDIATE")
        with self._adding() as connection:
            METADATA.create_all(connection)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    # A caller's questions

    def answered(self, tenant: str, attempt: Attempt, now: int | None = None) -> tuple[str, ...] | None:
        """The ids that this attempt made when it was made before, else None. Raises ``ApiError`` 422 for a used key."""
        with self.engine.connect() as connection:
            return _answered(connection, tenant, attempt, _now(now))

    def add(
        self,
        tenant: str,
        specs: Mapping[str, VideoSpec],
        costs: Sequence[float],
        attempt: Attempt,
        check: Callable[[int, int, int], None],
        now: int | None = None,
    ) -> tuple[str, ...]:
        """Store videos by id, all or none, and return their ids; those of an earlier, equal attempt if there was one.

        ``costs`` are seconds of rendering, alone. ``check`` is told how many videos are new, how many wait in all and
        how many of this tenant, and raises if these are too many. A tenant's videos get turns one behind the other,
        the first no earlier than what is being rendered now: start-time fair queueing (Goyal, Vin and Cheng 1996), in
        which a tenant with a hundred videos does not stand before one with a single video.
        """
        moment = _now(now)
        with self._adding() as connection:
            known = _answered(connection, tenant, attempt, moment)
            if known is not None:
                return known
            check(len(specs), *_waiting_counts(connection, tenant))
            turn = _next_turn(connection, tenant)
            batch, rows = new_id("video"), []
            for (id, spec), cost in zip(specs.items(), costs):
                end = min(turn + max(1, round(10 * cost)), MAX_TURN)
                rows.append(
                    {"id": id, "tenant": tenant, "state": "queued", "spec": spec.to_json(), "batch": batch}
                    | {"cost_seconds": cost, "turn": turn, "turn_end": end, "created_at": moment}
                )
                turn = end
            connection.execute(sa.insert(VIDEOS), rows)
            _record(connection, tenant, attempt, tuple(specs), moment)
            return tuple(specs)

    def get(self, tenant: str, video_id: str) -> Video | None:
        """The video if it is this tenant's."""
        return self._one(VIDEOS.c.id == video_id, VIDEOS.c.tenant == tenant, VIDEOS.c.state != "deleted")

    def batches(self, videos: Sequence[Video]) -> dict[str, tuple[str, ...]]:
        """Ids of what was asked for together with these videos, by batch, in order."""
        wanted = {video.batch for video in videos}
        query = sa.select(VIDEOS.c.batch, VIDEOS.c.id).where(VIDEOS.c.batch.in_(wanted), VIDEOS.c.state != "deleted")
        found: dict[str, tuple[str, ...]] = dict.fromkeys(wanted, ())
        with self.engine.connect() as connection:
            for batch, id in connection.execute(query.order_by(VIDEOS.c.number)):
                found[batch] += (id,)
        return found

    def page(self, tenant: str, after: str | None, limit: int, order: Order) -> tuple[tuple[Video, ...], bool]:
        """Up to ``limit`` videos by age behind the video ``after``, and whether there are more."""
        where = [VIDEOS.c.tenant == tenant, VIDEOS.c.state != "deleted"]
        if after is not None:
            start = self._one(VIDEOS.c.id == after, *where)
            if start is None:
                raise invalid(f"after is {after!r}, but there is no such video; it must be an id of the list", "after")
            where.append(VIDEOS.c.number > start.number if order == "asc" else VIDEOS.c.number < start.number)
        found = self._some(*where, order=order, limit=limit + 1)
        return found[:limit], len(found) > limit

    def line(self) -> dict[str, Waiting]:
        """What stands before each unfinished video, in the order of their turns."""
        columns = VIDEOS.c
        left = sa.func.coalesce(columns.seconds_left, columns.cost_seconds)
        query = sa.select(columns.id, columns.state, left).where(_active()).order_by(columns.turn, columns.number)
        line, before = {}, Waiting(0, 0.0)
        with self.engine.connect() as connection:
            for id, state, seconds in connection.execute(query):
                line[id] = before
                before = Waiting(before.num_videos + (state == "queued"), before.seconds + seconds)
        return line

    def cancel(self, tenant: str, video_id: str, now: int | None = None) -> bool:
        """Let an unfinished video fail as cancelled; False if there is none."""
        values = {"state": "failed", "error_code": "cancelled", "error_message": "the video was cancelled"}
        mine = (VIDEOS.c.id == video_id, VIDEOS.c.tenant == tenant, VIDEOS.c.state.in_(ACTIVE))
        return self._update(values | {"completed_at": _now(now)}, *mine)

    def delete(self, tenant: str, video_id: str) -> bool:
        """Make a video invisible at once; ``forget`` removes the row when its work has stopped. False if not there."""
        mine = (VIDEOS.c.id == video_id, VIDEOS.c.tenant == tenant, VIDEOS.c.state != "deleted")
        return self._update({"state": "deleted"}, *mine)

    def add_character(self, tenant: str, character: CharacterRecord, attempt: Attempt) -> str:
        """Store a character and return its id; that of an earlier, equal attempt if there was one."""
        with self._adding() as connection:
            known = _answered(connection, tenant, attempt, character.created_at)
            if known is not None:
                return known[0]
            values = asdict(character) | {"tenant": tenant}
            connection.execute(sa.insert(CHARACTERS).values(values))
            _record(connection, tenant, attempt, (character.id,), character.created_at)
            return character.id

    def character(self, tenant: str, character_id: str) -> CharacterRecord | None:
        """The character if it is this tenant's."""
        columns = CHARACTERS.c
        query = sa.select(columns.id, columns.name, columns.created_at, columns.media)
        with self.engine.connect() as connection:
            row = connection.execute(query.where(columns.id == character_id, columns.tenant == tenant)).one_or_none()
        return None if row is None else CharacterRecord(row.id, row.name, row.created_at, Media(**row.media))

    # A worker's

    def claim(self, video_id: str, worker: str) -> Video | None:
        """Take an unfinished video up, and from whoever had it before. None if it is not there or not unfinished."""
        values = {"worker": worker, "claims": VIDEOS.c.claims + 1}
        query = sa.update(VIDEOS).values(values).where(VIDEOS.c.id == video_id, VIDEOS.c.state.in_(ACTIVE))
        with self._writer.begin() as connection:
            row = connection.execute(query.returning(*VIDEOS.c)).mappings().one_or_none()
        return None if row is None else Video.from_row(row)

    def look_up(self, video_id: str) -> Video | None:
        """The video, whoever's it is, and also when it was deleted: for the worker, which serves everybody."""
        return self._one(VIDEOS.c.id == video_id)

    def report(self, reports: Sequence[tuple[Video, bool, int, float]]) -> None:
        """Say how far claimed videos are: has it started, percent, seconds left. Lost and finished ones stay as is."""
        with self._writer.begin() as connection:
            for video, has_started, progress, seconds_left in reports:
                state = "in_progress" if has_started else VIDEOS.c.state
                values = {"state": state, "progress": progress, "seconds_left": seconds_left}
                connection.execute(sa.update(VIDEOS).values(values).where(*_held(video)))

    def held(self, worker: str) -> dict[str, int]:
        """Unfinished videos of a worker: id -> claims."""
        return {video.id: video.claims for video in self._some(VIDEOS.c.worker == worker, _active())}

    def complete(
        self, video: Video, media: Media, files: Mapping[str, str], num_bytes: int, now: int, expires_at: int
    ) -> bool:
        """Let a claimed video be finished; False if it was cancelled, deleted or lost to another worker."""
        values = {"state": "completed", "progress": 100, "seconds_left": None, "spec": video.spec.to_json()}
        values |= {"media": asdict(media), "files": dict(files), "num_bytes": num_bytes}
        return self._update(values | {"completed_at": now, "expires_at": expires_at}, *_held(video))

    def fail(self, video: Video, code: str, message: str, now: int) -> bool:
        """Let a claimed video fail; False as ``complete`` does."""
        message = message.replace("\0", "")  # PostgreSQL's text cannot hold it.
        values = {"state": "failed", "error_code": code, "error_message": message, "completed_at": now}
        return self._update(values | {"seconds_left": None}, *_held(video))

    def release(self, video_id: str, claims: int) -> None:
        """Say that the worker who had this many claims no longer touches the video's folder."""
        self._update({"worker": None}, VIDEOS.c.id == video_id, VIDEOS.c.claims == claims)

    def unfinished(self) -> tuple[Video, ...]:
        """All that is queued or in progress."""
        return self._some(_active())

    def beat(self, worker: str) -> None:
        """Say that a worker lives."""
        beat = secrets.randbits(62)
        with self._writer.begin() as connection:
            changed = connection.execute(sa.update(WORKERS).values(beat=beat).where(WORKERS.c.name == worker))
            if changed.rowcount == 0:
                connection.execute(sa.insert(WORKERS).values(name=worker, beat=beat))

    def beats(self) -> dict[str, int]:
        """The last sign of life of every worker: a number that changes."""
        with self.engine.connect() as connection:
            return {row.name: row.beat for row in connection.execute(sa.select(WORKERS))}

    def leave(self, worker: str) -> None:
        """Say that a worker is gone."""
        with self._writer.begin() as connection:
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.name == worker))

    # Retention's

    def finished(self, until: int | None = None) -> tuple[Video, ...]:
        """Completed videos, those that expire first before the others; only those that expire by ``until``."""
        where = [VIDEOS.c.state == "completed"] + ([VIDEOS.c.expires_at <= until] if until is not None else [])
        return tuple(sorted(self._some(*where), key=lambda video: (video.expires_at or 0, video.number)))

    def expire(self, video_id: str, now: int) -> bool:
        """Let a completed video be expired, by now at the latest, so that nobody is told of files that are removed."""
        earlier = sa.case((VIDEOS.c.expires_at < now, VIDEOS.c.expires_at), else_=now)
        values = {"state": "expired", "expires_at": earlier, "num_bytes": 0}
        return self._update(values, VIDEOS.c.id == video_id, VIDEOS.c.state == "completed")

    def over(self, before: int) -> tuple[Video, ...]:
        """Deleted videos, and failed and expired ones that ended before a time."""
        ended = VIDEOS.c.state.in_(("failed", "expired")) & (VIDEOS.c.completed_at < before)
        return self._some(ended | (VIDEOS.c.state == "deleted"))

    def states(self) -> dict[str, tuple[State, str | None]]:
        """Every video's state, and the worker whose hands it is in."""
        query = sa.select(VIDEOS.c.id, VIDEOS.c.state, VIDEOS.c.worker)
        with self.engine.connect() as connection:
            return {row.id: (row.state, row.worker) for row in connection.execute(query)}

    def character_ids(self) -> set[str]:
        """Every character's id."""
        with self.engine.connect() as connection:
            return set(connection.scalars(sa.select(CHARACTERS.c.id)))

    def forget(self, video_id: str) -> None:
        """Remove a row."""
        with self._writer.begin() as connection:
            connection.execute(sa.delete(VIDEOS).where(VIDEOS.c.id == video_id))

    def forget_attempts(self, before: int) -> None:
        """Remove what was kept to recognise repetitions."""
        with self._writer.begin() as connection:
            connection.execute(sa.delete(ATTEMPTS).where(ATTEMPTS.c.created_at < before))

    def counts(self) -> dict[str, int]:
        """Videos by state."""
        query = sa.select(VIDEOS.c.state, sa.func.count()).group_by(VIDEOS.c.state)
        with self.engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    @contextmanager
    def _adding(self) -> Iterator[sa.Connection]:
        # One at a time over all workers, so that limits, turns and repetitions are judged on what is really there.
        with self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADDING)))
            yield connection

    def _one(self, *where: sa.ColumnElement[bool]) -> Video | None:
        found = self._some(*where, limit=1)
        return found[0] if found else None

    def _some(
        self, *where: sa.ColumnElement[bool], order: Order = "asc", limit: int | None = None
    ) -> tuple[Video, ...]:
        number = VIDEOS.c.number
        query = sa.select(VIDEOS).where(*where).order_by(number if order == "asc" else number.desc()).limit(limit)
        with self.engine.connect() as connection:
            return tuple(Video.from_row(row) for row in connection.execute(query).mappings())

    def _update(self, values: Mapping[str, Any], *where: sa.ColumnElement[bool]) -> bool:
        with self._writer.begin() as connection:
            return connection.execute(sa.update(VIDEOS).values(**values).where(*where)).rowcount > 0


def _now(now: int | None) -> int:
    return int(time.time()) if now is None else now


def _active() -> sa.ColumnElement[bool]:
    return VIDEOS.c.state.in_(ACTIVE)


def _held(video: Video) -> tuple[sa.ColumnElement[bool], ...]:
    return VIDEOS.c.id == video.id, VIDEOS.c.claims == video.claims, _active()


def _answered(connection: sa.Connection, tenant: str, attempt: Attempt, now: int) -> tuple[str, ...] | None:
    if attempt.key is None and not attempt.is_retry:
        return None
    query = sa.select(ATTEMPTS).where(ATTEMPTS.c.tenant == tenant).order_by(ATTEMPTS.c.number.desc()).limit(1)
    if attempt.key is not None:
        row = connection.execute(query.where(ATTEMPTS.c.key == attempt.key)).one_or_none()
        if row is not None and row.fingerprint != attempt.fingerprint:
            message = f"the Idempotency-Key {attempt.key!r} was used for another request; a new request needs a new key"
            raise ApiError(422, "idempotency_key_reused", message)
        if row is not None or not attempt.is_retry:
            return row and tuple(row.made)
    recent = (ATTEMPTS.c.fingerprint == attempt.fingerprint) & (ATTEMPTS.c.created_at >= now - RETRY_WINDOW)
    row = connection.execute(query.where(recent)).one_or_none()
    if row is None:
        return None
    # Whoever deleted the first answer and asks again wants a new one.
    kept = sa.select(VIDEOS.c.id).where(VIDEOS.c.id.in_(row.made), VIDEOS.c.state != "deleted")
    people = sa.select(CHARACTERS.c.id).where(CHARACTERS.c.id.in_(row.made))
    return tuple(row.made) if set(connection.scalars(kept.union_all(people))) == set(row.made) else None


def _record(connection: sa.Connection, tenant: str, attempt: Attempt, made: tuple[str, ...], now: int) -> None:
    values = {"key": attempt.key, "fingerprint": attempt.fingerprint, "made": list(made)}
    connection.execute(sa.insert(ATTEMPTS).values(values | {"tenant": tenant, "created_at": now}))


def _waiting_counts(connection: sa.Connection, tenant: str) -> tuple[int, int]:
    mine = sa.func.sum(sa.case((VIDEOS.c.tenant == tenant, 1), else_=0))
    in_all, of_tenant = connection.execute(sa.select(sa.func.count(), mine).where(VIDEOS.c.state == "queued")).one()
    return int(in_all), int(of_tenant or 0)


def _next_turn(connection: sa.Connection, tenant: str) -> int:
    # What was cancelled before anybody took it up has cost nothing.
    last = sa.select(sa.func.max(VIDEOS.c.turn_end)).where(_active() | (VIDEOS.c.claims > 0))
    now = connection.scalar(sa.select(sa.func.min(VIDEOS.c.turn)).where(_active()))
    if now is None:
        now = connection.scalar(last)
    mine = connection.scalar(last.where(VIDEOS.c.tenant == tenant))
    return min(max(now or 0, mine or 0), MAX_TURN - 1)
