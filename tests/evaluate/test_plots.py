import re
import xml.etree.ElementTree as ET

import pytest

from ozora.evaluate.plots import axis_of, fitted_axis, lines, mark, role, share_axis, whisker, whiskers
from ozora.evaluate.tables import Share


def test_axes_are_round_and_hold_everything():
    for values in ([0.3, 7.9], [22.0, 31.4], [-3.0, 4.0], [5.0], [0.0], [1e-4, 3e-4], [-9.0, -8.0], [1234.0, 98765.0]):
        axis = fitted_axis(values)
        assert axis.low <= min(values) <= max(values) <= axis.high
        assert 2 <= len(axis.ticks) <= 7
        assert all(0 <= axis.at(value) <= 1 for value in values)
    assert fitted_axis([0.3, 7.9]).low == 0
    assert fitted_axis([30.8, 31.4]).low >= 30
    with pytest.raises(ValueError, match="finite"):
        fitted_axis([float("nan")])


def test_shares_have_one_axis_and_means_their_own():
    some = [Share(0.5, 0.4, 0.6, 9)]
    assert axis_of(some, "count %") == share_axis()
    assert axis_of(some, "distance", 2.0).high >= 2.0


def test_whiskers_stand_where_their_numbers_are():
    shares = {"model": Share(0.5, 0.25, 0.75, 9), "simulator": Share(1.0, 1.0, 1.0, 9), "noise": None}
    drawing = ET.fromstring(whiskers("count %", shares, aim=0.9))
    bars = [path.attrib["d"] for path in drawing.iter("path") if path.get("class") == "bar"]
    (x1, x2), (y1, y2) = ([float(n) for n in re.findall(r"[MH]([0-9.]+)", bar)] for bar in bars)
    width = float(drawing.attrib["width"])
    assert x2 - x1 == pytest.approx((width - 16) / 2, abs=0.2)
    assert y1 == y2 == width - 8
    assert (x1 + x2) / 2 == pytest.approx(width / 2, abs=0.2)
    assert any(path.get("class") == "aim" for path in drawing.iter("path"))
    assert drawing.attrib["aria-hidden"] == "true"
    assert whiskers("count %", {"noise": None}) == ""


def test_curves_are_told_in_words_and_escaped():
    curve = [Share(1.0, 0.9, 1.0, 9), None, Share(0.5, 0.4, 0.6, 9)]
    drawing = ET.fromstring(lines("colors %", [1.0, 2.0, 60.0], {"model": curve}, 'a "label" <b>'))
    assert drawing.attrib["aria-label"] == 'a "label" <b>'
    assert len(list(drawing.iter("circle"))) == 2
    assert lines("colors %", [1.0], {"model": curve[:1]}, "") == ""


def test_roles():
    told = {
        "model": ("model", "model, strength 0.8"),
        "simulator": ("simulator", "simulator as it is read", "simulator, cut", "source", "source, below 6 px"),
        "control": ("model, shots exchanged", "simulator, shuffled prompts", "frozen clip", "source as it is"),
        "reconstruction": ("reconstruction",),
    }
    assert all(role(name) == kind for kind, names in told.items() for name in names)
    assert len({mark(name, 1.0, 1.0) for name in ("model", "reconstruction", "simulator", "noise")}) == 4


def test_a_whisker_alone_is_valid():
    ET.fromstring(whisker("noise", Share(3.0, 2.0, 4.0, 9), fitted_axis([0.0, 10.0]), 9.0, 120))
