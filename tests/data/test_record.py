"""A record survives its round trip, and says what is wrong with one that is not a record."""

import json

import pytest

from ozora.data.record import Caption, EventFacts, Facts, ObjectFacts, Record


def example(**changes) -> Record:
    facts = Facts(
        (ObjectFacts("red", "sphere", "large"), ObjectFacts("cyan", "cube", "small")),
        "collide",
        "orbit left",
        (EventFacts("hit", 0.75, 0, 1), EventFacts("land", 1.1 / 3, 1)),
    )
    values = {
        "id": "clip-7",
        "width": 64,
        "height": 48,
        "num_frames": 17,
        "fps": 8.0,
        "captions": (Caption("short", "a red ball hits a cyan cube"), Caption("still", "a “ball” 大空")),
        "facts": facts,
        "source": {"scene": {"seed": 3, "gravity": [0.0, -9.81]}, "mujoco": "3.3.0"},
    }
    return Record(**{**values, **changes})


@pytest.mark.parametrize("changes", [{}, {"facts": None}, {"captions": ()}, {"split": "new_seeds", "fps": 29.97}])
def test_round_trip(changes):
    record = example(**changes)
    line = record.to_json()
    assert "\n" not in line
    assert Record.from_json(line) == record
    assert Record.from_json(line).to_json() == line


def test_text_by_style():
    assert example().text("short") == "a red ball hits a cyan cube"
    assert example().text("dense") is None


@pytest.mark.parametrize("changes", [{"id": ""}, {"id": "a/b"}, {"width": 0}, {"num_frames": 0}, {"fps": float("nan")}])
def test_impossible_records(changes):
    with pytest.raises(ValueError, match="record"):
        example(**changes)


def test_captions_have_a_known_style_and_words():
    with pytest.raises(ValueError, match="style 'poem'; it must be one of dense"):
        Caption("poem", "roses are red")
    with pytest.raises(ValueError, match="empty"):
        Caption("short", "  ")


@pytest.mark.parametrize("line", ["", "{}", "[]", "not json"])
def test_what_is_no_record(line):
    with pytest.raises(ValueError, match="not a record"):
        Record.from_json(line)


def test_unknown_field_is_named():
    data = json.loads(example().to_json()) | {"mood": "calm"}
    with pytest.raises(ValueError, match="mood"):
        Record.from_json(json.dumps(data))
