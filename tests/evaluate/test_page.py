import re
from html.parser import HTMLParser

import pytest

from ozora.evaluate.figures import counted, merged
from ozora.evaluate.page import choose_strips, render_page

VOID = {"meta", "br", "link", "img", "input", "hr", "path", "circle", "polygon", "polyline"}
NASTY = '<script>alert("1")</script> & a "red" ball\'s'


class Strict(HTMLParser):
    """Every tag is closed in order, every id is there once."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        assert len(values) == len(attrs), f"an attribute stands twice in <{tag}>"
        self.tags.append((tag, values))
        if "id" in values:
            self.ids.append(values["id"])
        if (target := values.get("href") or "").startswith("#"):
            self.links.append(target[1:])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


def share(value, half=0.1, num=20):
    return {"value": value, "low": value - half, "high": value + half, "num_clips": num}


def metric(**fields):
    return {"better": "high", "truth": "simulator", "worse": [], "aim": None, "about": "", **fields}


@pytest.fixture
def report():
    rows = {
        "model": {"count %": share(0.4), NASTY: share(3.0)},
        "simulator": {"count %": share(0.85), NASTY: None},
        "frozen clip": {"count %": share(0.84), NASTY: share(4.0)},
    }
    seconds = {f"second {n}": {"colors %": share(0.5)} for n in (1, 2, 8)}
    many = {f"kind {name}": {"kept %": share(0.5)} for name in "abcdefghijk"}
    part = {
        "title": "Prompts & more",
        "about": "About it.",
        "evaluation_sets": {"new": "abc123"},
        "sections": {
            "first": {"Counting": rows, "Kinds": many},
            "second": {"A minute: model, second by second": seconds, "A minute: simulator, second by second": seconds},
        },
        "asks": {"first": "Are there as many?"},
        "metrics": {"Counting": {"count %": metric(worse=["frozen clip"], aim=0.95, about="as many")}},
        "verdicts": {"Counting": {"count %": {"ranks": False, "reason": "frozen clip is as good"}}},
        "strips": {"first": [{"file": "strips/a.mp4", "caption": NASTY, "sources": ["model"], "size": [128, 128]}]},
    }
    return {
        "model": NASTY,
        "model_hash": "f" * 64,
        "steps": None,
        "guidance": 3.0,
        "num_clips": 20,
        "versions": {"ozora": "0"},
        "parts": {"new": part},
        "left_out": {"Captions": "the model has no captioner"},
        "thrown_out": [{"part": "new", "table": "Counting", "column": "count %", "reason": "frozen clip is as good"}],
    }


@pytest.fixture
def page(report):
    return render_page(report, {"strips/a.mp4": b"not a video"})


def parse(page):
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page):
    parsed = parse(page)
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert set(parsed.links) <= set(parsed.ids)
    assert page.startswith("<!DOCTYPE html>")
    assert [values["lang"] for tag, values in parsed.tags if tag == "html"] == ["en"]
    assert all(values.get("scope") for tag, values in parsed.tags if tag == "th")


def test_nothing_is_loaded_from_elsewhere(page):
    sources = [values[name] for _, values in parse(page).tags for name in ("src", "href") if name in values]
    assert all(source.startswith(("#", "data:")) for source in sources)
    assert "default-src &#x27;none&#x27;" in page
    assert not re.search(r"https?://|@import|url\(", page)


def test_what_comes_from_outside_is_escaped(page):
    assert "<script>alert" not in page
    assert "alert" in "".join(parse(page).text)
    assert len([tag for tag, _ in parse(page).tags if tag == "script"]) == 1


def test_every_value_stands_with_its_interval(page):
    assert re.search(r"<b>40</b><span>30 to 50</span>", page)
    assert re.search(r"<b>3</b><span>2.9 to 3.1</span>", page)
    assert page.count('class="bar"') >= 5
    assert "not judged" in page


def test_what_was_thrown_out_is_marked_with_its_reason_wherever_it_stands(page):
    assert page.count('<tr class="out">') == 2  # in its table and at a glance
    assert page.count("frozen clip is as good") == 2  # in its table and in the list
    assert "the model has no captioner" in page


def test_strips_are_embedded_and_described(page):
    videos = [values for tag, values in parse(page).tags if tag == "video"]
    assert len(videos) == 1 and videos[0]["src"].startswith("data:video/mp4;base64,")
    assert NASTY in videos[0]["aria-label"] and "controls" in videos[0]


def test_curves_of_two_sources_share_a_chart(report, page):
    joined = merged(report["parts"]["new"]["sections"]["second"])
    assert list(joined) == ["A minute, second by second"]
    assert list(joined["A minute, second by second"]["second 1"]) == ["model: colors %", "simulator: colors %"]
    assert page.count('class="lines"') == 1


def test_counted_names():
    assert counted(["second 1", "second 2", "second 4"]) == {"second 1": 1, "second 2": 2, "second 4": 4}
    assert counted(["strength 0", "strength 0.2", "strength 1"])["strength 0.2"] == 0.2
    assert counted(["model", "second 1", "second 2"]) == {}
    assert counted(["blur 1", "noise 2", "noise 3"]) == {}
    assert counted(["second 4", "second 2", "second 1"]) == {}
    assert counted(["second 1", "second 2"]) == {}


def test_the_first_strip_of_every_section_comes_first(tmp_path, report):
    (tmp_path / "strips").mkdir()
    for name in "abcd":
        (tmp_path / "strips" / f"{name}.mp4").write_bytes(name.encode() * 100)
    strip = {"caption": "", "sources": [], "size": [2, 2]}
    report["parts"]["new"]["strips"] = {
        "first": [{**strip, "file": "strips/a.mp4"}, {**strip, "file": "strips/b.mp4"}],
        "second": [{**strip, "file": "strips/c.mp4"}, {**strip, "file": "strips/gone.mp4"}],
    }
    assert list(choose_strips(report, tmp_path)) == ["strips/a.mp4", "strips/c.mp4", "strips/b.mp4"]
    assert list(choose_strips(report, tmp_path, limit=250)) == ["strips/a.mp4", "strips/c.mp4"]


def test_an_empty_report_has_a_page(report):
    report |= {"parts": {}, "thrown_out": [], "left_out": {}, "model_hash": None}
    text = "".join(parse(render_page(report, {})).text)
    assert "every metric ranked its controls" in text and "no model was judged" in text
