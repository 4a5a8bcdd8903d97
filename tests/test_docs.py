"""What the documents say is there: every path exists, every command parses, every decision has its three parts."""

import re
import shlex
from pathlib import Path

import pytest

from ozora.cli import parse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_tour_names_every_package_and_only_files_that_exist():
    tour = (ROOT / "docs/tour.md").read_text()
    named = re.findall(r"`((?:src|docs|recipes|tests|benchmarks)/[\w./-]*)`", tour)
    assert named and not [path for path in named if not (ROOT / path).exists()]
    packages = {path.parent.name for path in (ROOT / "src/ozora").glob("*/__init__.py")}
    assert packages <= {Path(path).parent.name for path in named}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_parses(page):
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.splitlines():
            command = line.partition(" #")[0].rpartition("&& ")[2].removeprefix(".venv/bin/")
            if command.startswith("ozora "):
                parse(shlex.split(command)[1:])


@pytest.mark.parametrize("page", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_says_what_would_change_it(page):
    text = page.read_text()
    assert text.startswith("# ") and "**Context.**" in text and "**What would change our mind.**" in text


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
