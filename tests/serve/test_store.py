"""Does the store keep every tenant's videos apart, every attempt once, and the queue fair?"""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from ozora.serve.errors import ApiError
from ozora.serve.service import Attempt, CharacterRecord, Order
from ozora.serve.spec import Media, VideoSpec
from ozora.serve.store import Store
from ozora.serve.tables import Video, new_id
from ozora.serve.workers import Pulse

SPEC = VideoSpec("a red ball", (64, 64), 2.0, script=((1.0, "it stops"),), render_size=(64, 64))
MEDIA = Media("jobs/x/video.mp4", "00", 64, 64, 17, 8.0, "x")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'ozora.db'}")
    yield store
    store.close()


def add(store: Store, tenant: str = "ann", costs: tuple[float, ...] = (1.0,), **more) -> tuple[str, ...]:
    attempt = more.pop("attempt", Attempt(new_id("evt")))
    specs = {new_id("video"): replace(SPEC, seed=seed) for seed in range(len(costs))}
    if not specs:
        return ()
    return store.add(tenant, specs, costs, attempt, more.pop("check", lambda *waiting: None), **more)


def got(store: Store, video_id: str) -> Video:
    video = store.look_up(video_id)
    assert video is not None
    return video


def test_what_was_stored_is_read_back(store: Store) -> None:
    first, second = add(store, costs=(1.0, 2.0), now=77)
    video = store.get("ann", first)
    assert video is not None and video.spec == SPEC and video.created_at == 77 and video.state == "queued"
    assert store.batches([video]) == {video.batch: (first, second)}


def test_sqlite_is_in_wal_mode_and_syncs(store: Store) -> None:
    with store.engine.connect() as connection:
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2


def test_another_tenant_sees_and_changes_nothing(store: Store) -> None:
    (mine,) = add(store, "ann")
    before = got(store, mine)
    assert store.get("bob", mine) is None
    assert store.page("bob", None, 10, "desc") == ((), False)
    assert not store.cancel("bob", mine) and not store.delete("bob", mine)
    with pytest.raises(ApiError, match="no such video"):
        store.page("bob", mine, 10, "asc")
    store.add_character("ann", CharacterRecord("char_1", "Mia", 5, MEDIA), Attempt("f"))
    assert store.character("bob", "char_1") is None and store.character("ann", "char_1") is not None
    assert got(store, mine) == before


@pytest.mark.parametrize("num_videos", [0, 1, 6])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_join_to_the_whole_list(store: Store, num_videos: int, order: Order) -> None:
    made = [video_id for _ in range(num_videos // 2) for video_id in add(store, costs=(1.0, 1.0), now=5)]
    made += add(store, now=5) if num_videos % 2 else ()
    add(store, "bob")
    for limit in (1, 2, 3, 6, 7):
        seen: list[str] = []
        has_more = True
        while has_more:
            videos, has_more = store.page("ann", seen[-1] if seen else None, limit, order)
            assert len(videos) == limit or not has_more
            seen += [video.id for video in videos]
        assert seen == (made if order == "asc" else made[::-1])


def test_a_key_gives_the_same_answer_and_is_refused_for_another_request(store: Store) -> None:
    attempt = Attempt("content", key="k1")
    made = add(store, attempt=attempt)
    assert add(store, attempt=attempt) == made == store.answered("ann", attempt)
    assert add(store, "bob", attempt=attempt) != made
    with pytest.raises(ApiError, match="new key") as caught:
        store.answered("ann", replace(attempt, fingerprint="other"))
    assert (caught.value.status, caught.value.code) == (422, "idempotency_key_reused")
    assert len(store.page("ann", None, 10, "asc")[0]) == 1


def test_a_retry_without_a_key_is_known_for_a_short_while(store: Store) -> None:
    made = add(store, attempt=Attempt("content"), now=1000)
    again = Attempt("content", is_retry=True)
    assert store.answered("ann", Attempt("content"), now=1001) is None  # It may be meant twice.
    assert store.answered("ann", again, now=1100) == made
    assert store.answered("ann", again, now=1200) is None
    assert store.answered("bob", again, now=1001) is None
    assert store.delete("ann", made[0])
    assert store.answered("ann", again, now=1001) is None


def test_a_key_that_is_sent_by_many_at_once_makes_one_video(store: Store) -> None:
    made: list[tuple[str, ...]] = []
    gate = threading.Barrier(6)

    def send() -> None:
        gate.wait()
        made.append(add(store, attempt=Attempt("content", key="k")))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6 and len(set(made)) == 1 and len(store.unfinished()) == 1


def test_too_many_waiting_stores_nothing(store: Store) -> None:
    add(store)
    add(store, "bob", costs=(1.0, 1.0))
    seen: list[tuple[int, ...]] = []

    def refuse(*waiting: int) -> None:
        seen.append(waiting)
        raise ApiError(429, "queue_full", "no")

    with pytest.raises(ApiError):
        add(store, check=refuse)
    assert seen == [(1, 3, 1)] and len(store.unfinished()) == 3


def test_a_tenant_with_many_videos_does_not_stand_before_one_with_a_single_one(store: Store) -> None:
    many = add(store, "ann", costs=(10.0,) * 50)
    (single,) = add(store, "bob", costs=(10.0,))
    line = list(store.line())
    assert line.index(single) == 1 and line[0] == many[0]


def test_two_tenants_who_always_have_videos_waiting_get_the_same_share(store: Store) -> None:
    add(store, "ann", costs=(3.0,) * 12)
    served = {"ann": 0.0, "bob": 0.0}
    for _ in range(24):
        waiting = sum(video.tenant == "bob" for video in store.unfinished())
        add(store, "bob", costs=(1.0,) * (2 - waiting))
        video = store.claim(next(iter(store.line())), "w")
        assert video is not None
        served[video.tenant] += video.cost_seconds
        assert store.complete(video, MEDIA, {}, 1, 0, 9)
    assert abs(served["ann"] - served["bob"]) <= 4.0


def test_what_was_cancelled_before_it_began_costs_no_turn(store: Store) -> None:
    for video_id in add(store, "ann", costs=(100.0,) * 5):
        assert store.cancel("ann", video_id)
    add(store, "bob")
    (mine,) = add(store, "ann")
    assert got(store, mine).turn == 0


def test_the_line_tells_what_stands_before(store: Store) -> None:
    first, second, third = add(store, costs=(2.0, 3.0, 4.0))
    video = store.claim(first, "w")
    assert video is not None
    store.report([(video, True, 50, 1.0)])
    line = store.line()
    assert (line[second].num_videos, line[second].seconds) == (0, 1.0)
    assert (line[third].num_videos, line[third].seconds) == (1, 4.0)
    assert got(store, first).state == "in_progress" and got(store, first).progress == 50


def test_only_the_latest_claim_can_end_a_video(store: Store) -> None:
    (mine,) = add(store)
    old, new = store.claim(mine, "a"), store.claim(mine, "b")
    assert old is not None and new is not None and new.claims == 2
    store.report([(old, True, 90, 0.0)])
    assert got(store, mine).progress == 0
    assert store.held("a") == {} and store.held("b") == {mine: 2}
    assert not store.complete(old, MEDIA, {}, 1, 0, 9) and not store.fail(old, "x", "y", 1)
    store.release(mine, old.claims)
    assert got(store, mine).worker == "b"
    assert store.complete(new, MEDIA, {"video": "video.mp4"}, 7, 100, 200)
    assert not store.fail(new, "x", "y", 1) and store.claim(mine, "c") is None
    video = got(store, mine)
    assert (video.state, video.media, video.files, video.num_bytes) == ("completed", MEDIA, {"video": "video.mp4"}, 7)


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_what_was_cancelled_or_deleted_cannot_be_completed(store: Store, end: str) -> None:
    (mine,) = add(store)
    video = store.claim(mine, "a")
    assert video is not None and getattr(store, end)("ann", mine)
    assert store.held("a") == {}
    assert not store.complete(video, MEDIA, {}, 1, 0, 9)
    assert (store.get("ann", mine) is None) == (end == "delete")
    assert not store.cancel("ann", mine)


def test_a_failure_may_say_anything(store: Store) -> None:
    (mine,) = add(store)
    video = store.claim(mine, "a")
    assert video is not None and store.fail(video, "render_failed", "odd\0 text", 5)
    assert got(store, mine).error_message == "odd text"


def test_expiry_is_told_before_files_go(store: Store) -> None:
    first, second = add(store, costs=(1.0, 1.0))
    for video_id, until in ((first, 300), (second, 200)):
        video = store.claim(video_id, "a")
        assert video is not None and store.complete(video, MEDIA, {}, 5, 100, until)
    assert [video.id for video in store.finished()] == [second, first]
    assert [video.id for video in store.finished(until=200)] == [second]
    assert store.expire(second, 250) and not store.expire(second, 250)
    assert store.expire(first, 250)
    assert (got(store, second).expires_at, got(store, first).expires_at) == (200, 250)


def test_a_worker_is_dead_when_its_sign_of_life_does_not_change(store: Store) -> None:
    now = [0.0]
    pulse = Pulse(30.0, clock=lambda: now[0])
    for name in ("a", "b"):
        store.beat(name)
    assert pulse.living(store.beats()) == {"a", "b"}
    now[0] = 29.0
    store.beat("a")
    assert pulse.living(store.beats()) == {"a", "b"}
    now[0] = 31.0
    assert pulse.living(store.beats()) == {"a"}
    store.beat("b")
    assert pulse.living(store.beats()) == {"a", "b"}
    store.leave("a")
    assert pulse.living(store.beats()) == {"b"}
