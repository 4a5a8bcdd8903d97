"""Does a canvas hold what is known, and refuse what cannot be?"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ozora.canvas import Canvas


@given(st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)), st.integers(1, 16), st.booleans())
def test_a_blank_canvas_knows_nothing(grid, channels, starts_clip):
    canvas = Canvas.blank(grid, channels, 8.0, starts_clip)
    assert canvas.grid == grid and canvas.clean.shape == (channels, *grid)
    assert canvas.known.sum() == 0 and canvas.starts_clip is starts_clip and canvas.fps == 8


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_any_degree_of_knowing_is_allowed(level):
    canvas = Canvas(torch.randn(16, 2, 4, 4), torch.full((2, 4, 4), level), 8.0)
    assert canvas.starts_clip and canvas.known.max() == pytest.approx(level)


@pytest.mark.parametrize(
    ("level", "message"), [(1.01, r"\[0, 1\.01\]"), (-0.01, r"\[-0\.01, 0\]"), (float("nan"), "nan")]
)
def test_one_cell_out_of_range_is_refused(level, message):
    known = torch.zeros(2, 4, 4)
    known[1, 2, 3] = level
    with pytest.raises(ValueError, match=message):
        Canvas(torch.zeros(16, 2, 4, 4), known, 8.0)


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 4, 6)])
def test_known_has_the_shape_of_the_latents(shape):
    # With shapes checked, the annotation speaks first; without, the message does.
    with pytest.raises(Exception, match=r"known") as caught:
        Canvas(torch.zeros(16, 2, 4, 4), torch.zeros(shape), 8.0)
    assert type(caught.value).__name__ in ("ValueError", "TypeCheckError")


def test_a_canvas_cannot_be_reassigned():
    canvas = Canvas.blank((1, 2, 2), 16, 8.0)
    with pytest.raises(AttributeError):
        canvas.known = torch.ones(1, 2, 2)  # type: ignore[misc]
