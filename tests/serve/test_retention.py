"""Is removed what is due, and nothing else?"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ozora.serve.errors import ApiError
from ozora.serve.records import check_finished, make_records, settings_of, status_of
from ozora.serve.retention import DAY, HOUR, Places, disk_bytes, hold, sweep
from ozora.serve.service import Attempt, CharacterRecord
from ozora.serve.spec import Media, VideoSpec
from ozora.serve.store import Store
from ozora.serve.tables import Video, new_id

MEDIA = Media("jobs/x/video.mp4", "00", 64, 64, 17, 8.0, "x")
NOW = 1_800_000_000
PLENTY = 10**9


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places(tmp_path)
    places.make()
    return places


@pytest.fixture
def store(places: Places) -> Iterator[Store]:
    store = Store(f"sqlite:///{places.data / 'ozora.db'}")
    yield store
    store.close()


def add(store: Store, places: Places, expires_at: int | None = None, num_bytes: int = 100) -> str:
    """A video with a file; finished if it expires."""
    video_id = new_id("video")
    (places.jobs / video_id).mkdir()
    (places.jobs / video_id / "video.mp4").write_bytes(b"x" * num_bytes)
    spec = VideoSpec("a", (64, 64), 2.0)
    store.add("ann", {video_id: spec}, [1.0], Attempt(video_id), lambda *waiting: None, now=NOW - 9)
    if expires_at is not None:
        video = store.claim(video_id, "w")
        assert video is not None
        assert store.complete(video, MEDIA, {"video": "video.mp4"}, num_bytes, NOW - 5, expires_at)
        store.release(video_id, video.claims)
    return video_id


def got(store: Store, video_id: str) -> Video:
    video = store.look_up(video_id)
    assert video is not None
    return video


def left(places: Places) -> set[str]:
    return {path.name for path in places.jobs.iterdir()}


def test_what_is_past_its_time_goes_and_is_told_as_expired(store: Store, places: Places) -> None:
    past, future, unfinished = add(store, places, NOW), add(store, places, NOW + 1), add(store, places)
    assert not sweep(store, places, {"w"}, PLENTY, NOW)
    assert left(places) == {future, unfinished}
    (record,) = make_records(store, [got(store, past)], NOW)
    assert record.status == "failed" and record.error is not None and record.error.code == "expired"
    assert record.expires_at == NOW and record.completed_at is None
    with pytest.raises(ApiError) as caught:
        check_finished(got(store, past), NOW)
    assert (caught.value.status, caught.value.code) == (404, "video_expired")


def test_the_truth_does_not_wait_for_the_sweep(store: Store, places: Places) -> None:
    video = got(store, add(store, places, NOW))
    assert status_of(video, NOW - 1) == ("completed", None)
    status, failure = status_of(video, NOW)
    assert status == "failed" and failure is not None and failure.code == "expired"


def test_a_file_says_what_was_asked_for_and_names_no_file(store: Store, places: Places) -> None:
    video = got(store, add(store, places, NOW))
    spec = replace(video.spec, script=((1.5, "it stops"),), render_size=(48, 80), source=MEDIA)
    told = settings_of(replace(video, spec=spec))
    assert json.loads(json.dumps(told)) == told and MEDIA.file not in json.dumps(told)
    assert (told["id"], told["prompt"], told["size"]) == (video.id, "a", "64x64")
    assert (told["render_size"], told["script"]) == ("48x80", ["1.5 s: it stops"])
    assert "size" in settings_of(video) and "render_size" not in settings_of(video)


def test_over_quota_those_that_expire_first_go_first_and_unfinished_ones_stay(store: Store, places: Places) -> None:
    later, soon, soonest = (add(store, places, NOW + seconds) for seconds in (30, 20, 10))
    unfinished = add(store, places)
    assert not sweep(store, places, {"w"}, 250, NOW)
    assert left(places) == {later, unfinished}
    assert got(store, soon).state == got(store, soonest).state == "expired" and got(store, soon).expires_at == NOW
    assert sweep(store, places, {"w"}, 50, NOW)  # Still too much, and nothing more to remove.
    assert left(places) == {unfinished}


def test_a_file_of_two_names_counts_once(store: Store, places: Places) -> None:
    source = places.jobs / add(store, places, NOW + 9) / "video.mp4"
    before = disk_bytes(places)
    hold(source, places.uploads / "again.mp4")
    assert disk_bytes(places) == before == 100
    source.unlink()
    assert (places.uploads / "again.mp4").read_bytes() == b"x" * 100
    with pytest.raises(FileNotFoundError):
        hold(source, places.uploads / "third.mp4")


def test_a_deleted_video_goes_when_nobody_works_on_it(store: Store, places: Places) -> None:
    video_id = add(store, places)
    store.claim(video_id, "w")
    store.delete("ann", video_id)
    sweep(store, places, {"w"}, PLENTY, NOW)
    assert left(places) == {video_id}
    sweep(store, places, set(), PLENTY, NOW)  # The worker died.
    assert left(places) == set() and store.look_up(video_id) is None


def test_a_failure_is_told_for_a_month(store: Store, places: Places) -> None:
    video_id = add(store, places)
    store.cancel("ann", video_id, now=NOW)
    sweep(store, places, set(), PLENTY, NOW + 29 * DAY)
    assert left(places) == set() and got(store, video_id).error_code == "cancelled"
    sweep(store, places, set(), PLENTY, NOW + 31 * DAY)
    assert store.look_up(video_id) is None


def test_what_nobody_refers_to_goes_after_an_hour(store: Store, places: Places) -> None:
    character = CharacterRecord("char_1", "Mia", NOW, replace(MEDIA, file="characters/char_1/source.webp"))
    store.add_character("ann", character, Attempt("f"))
    kept = add(store, places)
    for path in (places.jobs / "video_lost", places.characters / "char_1", places.characters / "char_lost"):
        path.mkdir()
    upload = places.uploads / "u.webp"
    upload.write_text("picture")
    for path in (places.jobs / "video_lost", places.characters / "char_lost", upload, places.jobs / kept):
        os.utime(path, (NOW, NOW))
    sweep(store, places, set(), PLENTY, NOW + HOUR)
    assert left(places) == {kept, "video_lost"} and upload.exists()
    sweep(store, places, set(), PLENTY, NOW + HOUR + 1)
    assert left(places) == {kept} and not upload.exists()
    assert [path.name for path in places.characters.iterdir()] == ["char_1"]


def test_repetitions_are_forgotten_after_a_day(store: Store, places: Places) -> None:
    attempt = Attempt("f", key="k")
    store.add("ann", {"video_1": VideoSpec("a", (8, 8), 1.0)}, [1.0], attempt, lambda *waiting: None, now=NOW)
    sweep(store, places, set(), PLENTY, NOW + DAY)
    assert store.answered("ann", attempt) == ("video_1",)
    sweep(store, places, set(), PLENTY, NOW + DAY + 1)
    assert store.answered("ann", attempt) is None


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "jobs/../../x"])
def test_no_name_leaves_the_data_folder(places: Places, name: str) -> None:
    with pytest.raises(ValueError, match="not below"):
        places.file(name)
