import numpy as np
import pytest

from ozora.evaluate.tables import Share, bootstrap, markdown_table


def test_the_interval_is_the_binomial_one():
    values = np.repeat([1.0, 0.0], [140, 60])
    share = bootstrap(values)
    spread = 1.96 * np.sqrt(0.7 * 0.3 / 200)
    assert share.value == pytest.approx(0.7)
    assert (share.low, share.high) == pytest.approx((0.7 - spread, 0.7 + spread), abs=0.01)
    assert share == bootstrap(values)


def test_clips_of_one_prompt_are_no_independent_draws():
    values = np.repeat([1.0, 0.0] * 10, 5)
    groups = [str(i) for i in np.repeat(np.arange(20), 5)]
    together, alone = bootstrap(values, groups), bootstrap(values)
    assert together.value == alone.value == 0.5
    assert together.high - together.low > 1.8 * (alone.high - alone.low)


def test_certainty_has_no_width_and_nothing_is_refused():
    assert bootstrap(np.ones(7)) == Share(1.0, 1.0, 1.0, 7)
    with pytest.raises(ValueError, match="one clip at least"):
        bootstrap(np.ones(0))


def test_markdown_leaves_out_what_cannot_be_judged():
    text = markdown_table("Pictures", {"model": {"count": Share(0.5, 0.4, 0.6, 20), "event": None}})
    assert "| model | 20 | 50 (40-60) |  |" in text
