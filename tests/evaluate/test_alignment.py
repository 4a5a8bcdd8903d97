import numpy as np
import pytest

from ozora.clip import Clip
from ozora.data.record import Facts, ObjectFacts
from ozora.evaluate.alignment import EVENTS, Reading, SeenObject, compare, event_class, read, score
from ozora.evaluate.reader import CAMERAS, SHAPES
from ozora.evaluate.track import Track
from ozora.world.describe import EVENT_DEEDS
from ozora.world.families import sample_scene
from ozora.world.render import render
from ozora.world.scene import CAMERAS as WORLD_CAMERAS
from ozora.world.scene import SHAPES as WORLD_SHAPES
from ozora.world.simulate import simulate


def seen(*pairs: tuple[str, str], event: str | None = "fall", camera: str | None = "static") -> Reading:
    return Reading(tuple(SeenObject(color, shape, Track(color, ())) for color, shape in pairs), event, camera)


def facts(*pairs: tuple[str, str], event: str = "fall", camera: str = "static") -> Facts:
    return Facts(tuple(ObjectFacts(color, shape, "medium") for color, shape in pairs), event, camera)


def test_the_reader_knows_the_words_of_the_world():
    assert {event_class(event) for event in (*EVENT_DEEDS, "rest")} <= set(EVENTS)
    assert set(SHAPES) == set(WORLD_SHAPES)
    assert set(CAMERAS) == {" ".join(camera).strip() for camera in WORLD_CAMERAS}
    with pytest.raises(ValueError, match="not one of"):
        event_class("explode")


def test_swapped_colors_break_the_binding_and_nothing_else():
    asked = facts(("red", "sphere"), ("blue", "cube"))
    right = compare(seen(("blue", "cube"), ("red", "sphere")), asked)
    assert right.all
    swapped = compare(seen(("blue", "sphere"), ("red", "cube")), asked)
    assert swapped.count and swapped.colors and swapped.shapes and not swapped.binding and not swapped.all


def test_one_object_too_many_is_wrong_in_everything_that_counts_objects():
    score_ = compare(seen(("red", "sphere"), ("red", "sphere")), facts(("red", "sphere")))
    assert (score_.count, score_.colors, score_.shapes, score_.binding) == (False,) * 4
    assert score_.event and score_.camera


def test_what_is_left_open_or_cannot_be_seen_is_not_judged():
    open_facts = facts(("red", "sphere"), event="", camera="")
    assert compare(seen(("red", "sphere")), open_facts).event is None
    picture = compare(seen(("red", "sphere"), event=None, camera=None), facts(("red", "sphere")))
    assert picture.event is None and picture.camera is None and picture.all


def test_an_empty_clip_shows_nothing():
    reading = read(Clip(np.full((9, 48, 64, 3), 128, np.uint8), 8.0))
    assert reading.objects == ()
    assert reading == read(Clip(np.full((9, 48, 64, 3), 128, np.uint8), 8.0))


def test_renders_are_read_right_and_their_first_frame_too():
    right = []
    for seed in range(1, 5):
        scene = sample_scene("rest" if seed % 2 else "drop", seed, num_objects=1 + seed % 2)
        clip = render(scene, simulate(scene))
        pairs = [(body.color, body.shape) for body in scene.objects]
        event = "rest" if seed % 2 else "fall"
        camera = f"{scene.camera.motion} {scene.camera.direction}".strip()
        result = score(clip, facts(*pairs, event=event, camera=camera))
        assert result.count and result.colors
        right.append(result.all)
        still = score(clip.slice(0, 1), facts(*pairs, event=event, camera=camera))
        assert still.colors and still.event is None
    assert sum(right) >= 3
