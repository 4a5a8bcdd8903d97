"""Forms become the objects they mean, numbers come as text, and a stored spec is read back as it was."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ozora.serve.body import Body, nest, parse_json
from ozora.serve.errors import ApiError
from ozora.serve.schema import CreateVideo, parse_size, parse_wish, show_number
from ozora.serve.settings import ServeSettings
from ozora.serve.spec import Media, VideoSpec, largest_size

sides = st.integers(16, 4096)
texts = st.text(max_size=20)
media = st.tuples(texts, texts, sides, sides, st.integers(1, 99), st.floats(1, 60))
specs = st.fixed_dictionaries(
    {
        "prompt": texts,
        "size": st.tuples(sides, sides),
        "seconds": st.floats(0.1, 60),
        "task": st.sampled_from(["text", "animate", "edit", "extend"]),
        "fps": st.none() | st.floats(1, 60),
        "seed": st.integers(0, 2**63 - 1),
        "loop": st.booleans(),
        "script": st.lists(st.tuples(st.floats(0.1, 9), texts), max_size=2).map(tuple),
        "render_size": st.none() | st.tuples(sides, sides),
    }
)


@given(specs, st.none() | media)
def test_a_spec_is_read_back_from_json_as_it_was(values, source):
    spec = VideoSpec(**values, source=None if source is None else Media(*source))
    assert VideoSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_spec_of_a_newer_version_is_read():
    spec = VideoSpec("a ball", (64, 64), 2.0, task="extend", source=Media("a", "b", 64, 64, 16, 8.0))
    assert VideoSpec.from_json(spec.to_json() | {"new": 1}) == spec
    assert spec.delivered_seconds == 4.0 and replace(spec, task="edit").delivered_seconds == 2.0


@given(st.tuples(sides, sides), st.integers(1, 2000))
def test_the_largest_affordable_size(size, budget):
    def is_affordable(drawn):
        return drawn[0] * drawn[1] // 256 <= budget

    drawn = largest_size(size, 16, is_affordable)
    assert drawn is not None or budget < 256  # a very long strip may not fit at all
    if drawn is not None:
        assert is_affordable(drawn) and all(side % 16 == 0 and side >= 16 for side in drawn)
        assert (drawn[0] <= drawn[1]) == (size[0] <= size[1]) or drawn[0] == drawn[1]
        exact = max(drawn) / min(drawn) / (max(size) / min(size))
        assert abs(exact - 1) <= 16 / min(drawn)  # the aspect, to half a step of the long side
    everything = largest_size(size, 16, lambda _: True)
    assert everything is not None and all(side <= max(asked, 16) + 16 for side, asked in zip(everything, size))


def test_sizes():
    assert largest_size((720, 1280), 16, lambda size: size[0] * size[1] <= 64 * 80) == (48, 80)
    assert largest_size((1280, 720), 16, lambda size: size[0] * size[1] <= 64 * 80) == (80, 48)
    assert largest_size((64, 64), 16, lambda size: False) is None
    assert parse_size(" 64 X 48 ") == (64, 48)
    for text, nearest in (("65x48", "64x48"), ("8x48", "16x48"), ("9999x48", "4096x48"), ("0x0", "16x16")):
        with pytest.raises(ValueError, match=nearest):
            parse_size(text)
    for text in ("", "64", "64x", "-1x3", "64x48x3", "\u0664x48"):
        with pytest.raises(ValueError, match="no size"):
            parse_size(text)


@given(st.lists(st.tuples(st.integers(1, 9), texts), min_size=1, max_size=4))
def test_lists_of_objects_come_row_by_row_or_column_by_column(rows):
    columns = [("a[][start]", str(start)) for start, _ in rows] + [("a[][prompt]", text) for _, text in rows]
    mixed = [pair for start, text in rows for pair in (("a[][start]", str(start)), ("a[][prompt]", text))]
    counted = [
        pair
        for i, (start, text) in enumerate(rows)
        for pair in ((f"a[{i}][start]", str(start)), (f"a[{i}][prompt]", text))
    ]
    wanted = {"a": [{"start": str(start), "prompt": text} for start, text in rows]}
    assert nest(columns) == nest(mixed) == nest(counted) == wanted


def test_names_of_fields():
    assert nest([("a", "1"), ("b[c]", "2"), ("b[d][e]", "3"), ("f[]", "4"), ("f[]", "5")]) == {
        "a": "1",
        "b": {"c": "2", "d": {"e": "3"}},
        "f": ["4", "5"],
    }
    for names in (
        ["a", "a"],
        ["a", "a[b]"],
        ["a[b]", "a"],
        ["[a]"],
        ["a[b"],
        ["a]b"],
        [""],
        ["a[b][c][d][e]"],
        ["a" * 300],
        ["a[\u0660]", "a[\u0661][x]", "a"],
    ):
        with pytest.raises(ApiError):
            nest([(name, "x") for name in names])
    assert nest([("a[\u0660]", "x")]) == {"a": {"\u0660": "x"}}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    )
)
def test_any_json_is_taken_or_refused(value):
    for fields in (value, {"prompt": "a ball", "storyboard": value, "size": value}, {"prompt": value}):
        try:
            parse_wish(CreateVideo, parse_json(json.dumps(fields).encode()))
        except ApiError as error:
            assert error.status == 400 and error.message


def test_text_that_holds_json_is_read():
    wish = parse_wish(CreateVideo, {"prompt": "a", "storyboard": '[{"start": "1", "prompt": "b"}]', "loop": "true"})
    assert wish.storyboard[0].start == 1.0 and wish.loop
    assert wish.model_copy() == parse_wish(CreateVideo, wish.model_dump(exclude_defaults=True))


def test_a_fingerprint_is_of_content_alone():
    body = Body({"a": 1, "b": 2})
    one = body.fingerprint("/v1/videos", "h")
    assert one == Body({"b": 2, "a": 1}).fingerprint("/v1/videos", "h")
    others = body.fingerprint("/v1/videos"), body.fingerprint("/v1", "h"), Body({"a": 1}).fingerprint("/v1/videos", "h")
    assert len({one, *others}) == 4


def test_numbers_as_the_api_writes_them():
    assert [show_number(value) for value in (4.0, 0.5, 12.125, 100.0, 2.0000001)] == ["4", "0.5", "12.125", "100", "2"]


def test_settings_are_checked():
    assert ServeSettings(data=Path("d")).database_url.endswith("/d/ozora.db")
    assert ServeSettings(database="postgres://u@h/d").database_url == "postgresql+psycopg://u@h/d"
    assert all(ServeSettings(host=host).is_loopback for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"))
    assert not any(ServeSettings(host=host).is_loopback for host in ("0.0.0.0", "::", "192.168.0.1", "example.com"))
    wrongs: list[dict[str, Any]] = [
        {"port": -1},
        {"port": 65536},
        {"max_queued": 0},
        {"keep_hours": 0.0},
        {"max_seconds": float("nan")},
        {"webhook": "ftp://a"},
        {"certificate": Path("a")},
        {"worker": "a"},
        {"max_row_tokens": 0},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ServeSettings(**wrong)
