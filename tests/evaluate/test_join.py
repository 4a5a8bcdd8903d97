import numpy as np
import pytest

from ozora.evaluate.join import judge_join, largest_step, reversed_join, static_error

JOIN, NUM = 9, 17


@pytest.fixture
def rolling(draw_discs, line):
    return draw_discs({"red": line((32, 10), (0.25, 2.5), NUM)})


def test_a_motion_that_goes_on_is_ordinary(rolling):
    join = judge_join(rolling, JOIN, ["red"])
    assert join.step == pytest.approx(1, abs=0.2)
    assert join.is_ordinary and join.goes_on
    assert join.still == 0


def test_a_clip_that_freezes_steps_too_little(rolling):
    frozen = np.concatenate([rolling[:JOIN], np.repeat(rolling[JOIN - 1][None], NUM - JOIN, axis=0)])
    join = judge_join(frozen, JOIN, ["red"])
    assert join.step == 0
    assert join.is_ordinary is False and join.goes_on is False


def test_a_clip_that_starts_over_steps_too_much(rolling):
    join = judge_join(np.concatenate([rolling[:JOIN], rolling[: NUM - JOIN]]), JOIN, ["red"])
    assert join.step is not None and join.step > 1.5
    assert join.is_ordinary is False and join.goes_on is False


def test_a_clip_that_turns_back_has_an_ordinary_step_and_another_velocity(rolling):
    join = judge_join(np.concatenate([rolling[:JOIN], rolling[JOIN - 2 :: -1]]), JOIN, ["red"])
    assert join.is_ordinary is True and join.goes_on is False


def test_an_object_that_is_lost_or_changes_color_does_not_go_on(rolling, draw_discs, line):
    blue = draw_discs({"blue": line((32, 10), (0.25, 2.5), NUM)})
    assert judge_join(np.concatenate([rolling[:JOIN], blue[JOIN:]]), JOIN, ["red"]).goes_on is False
    empty = np.full_like(rolling[JOIN:], 140)
    lost = judge_join(np.concatenate([rolling[:JOIN], empty]), JOIN, ["red"])
    assert lost.goes_on is False and lost.is_ordinary is False


def test_stillness_is_the_change_of_what_does_not_move(rolling):
    brighter = rolling.copy()
    brighter[JOIN:] += 6
    assert judge_join(brighter, JOIN, ["red"]).still == pytest.approx(6)
    assert static_error(rolling, brighter, JOIN) == pytest.approx(6)


def test_backwards_is_the_same_question(rolling):
    broken = np.concatenate([rolling[:3], rolling[:6], rolling[JOIN:]])
    assert reversed_join(broken, JOIN, ["red"]) == judge_join(broken[::-1], NUM - JOIN, ["red"])
    assert reversed_join(rolling, JOIN, ["red"]).goes_on
    assert reversed_join(broken, JOIN, ["red"]).is_ordinary is False


def test_where_nothing_moves_there_is_no_ordinary_step(draw_discs, line):
    still = draw_discs({"red": line((32, 32), (0, 0), NUM)})
    join = judge_join(still, JOIN, ["red"])
    assert (join.step, join.is_ordinary, join.goes_on, join.still) == (None, None, None, 0)
    assert largest_step(still, 6, 10) is None


def test_a_cut_is_a_jump_and_a_fade_is_none(rolling, draw_discs, line):
    other = draw_discs({"blue": line((20, 50), (0, -2.5), NUM)})
    cut = np.concatenate([rolling, np.repeat(rolling[-1:], 8, axis=0), other])
    share = (np.arange(1, 9) / 9)[:, None, None, None]
    fade = ((1 - share) * rolling[-1] + share * other[0]).round().astype(np.uint8)
    faded = np.concatenate([rolling, fade, other])
    jumps = [largest_step(frames, NUM, NUM + 8) or 0.0 for frames in (cut, faded)]
    assert jumps[0] > 3 > jumps[1] > 0
    assert largest_step(rolling, 6, 10) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("join", [1, NUM])
def test_a_join_has_two_sides(rolling, join):
    with pytest.raises(ValueError, match="it must be from 2 to 16"):
        judge_join(rolling, join, ["red"])
