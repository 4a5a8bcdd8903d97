"""Models of the ``transformers`` library by folder are shown frames and seeded; missing ones are said in a line."""

import numpy as np
import pytest

from ozora.clip import Clip
from ozora.language.captioner import Captioner
from ozora.language.expander import Expander, expand
from ozora.language.local import LocalCaptioner, LocalExpander


def plain_clip(color, num_frames=9):
    return Clip(np.full((num_frames, 32, 32, 3), color, np.uint8), 8.0)


def test_a_vision_model_is_shown_the_frames_and_says_something_of_each_clip(vision_folder):
    captioner = LocalCaptioner(str(vision_folder), max_tokens=24)
    assert isinstance(captioner, Captioner)
    red, blue = captioner.caption([plain_clip((220, 10, 10)), plain_clip((10, 10, 220))])
    assert red != blue and red.endswith(".") and len(red.split()) >= 2
    assert captioner.caption([plain_clip((220, 10, 10))]) == [red]  # the likeliest words, whatever was asked before
    assert captioner.caption([plain_clip((220, 10, 10), 1)], "short")[0]
    assert captioner.caption([]) == []


def test_a_language_model_proposes_and_is_checked(language_folder):
    expander = LocalExpander(str(language_folder), max_tokens=24)
    assert isinstance(expander, Expander)
    one, again, other = (expander.propose("a red ball falls", seed) for seed in (3, 3, 4))
    assert one == again != other and len(one) == 1
    expansion = expand("a red ball falls", [expander])
    assert expansion.by == "rules" and expansion.refused[0].startswith(str(language_folder))


def test_what_says_nothing_to_use_is_an_answer_that_is_none(language_folder):
    with pytest.raises(RuntimeError, match="answered"):
        LocalExpander(str(language_folder), max_tokens=1).propose("a red ball falls")


def test_a_model_that_is_not_there_is_said_in_one_line(tmp_path, language_folder):
    with pytest.raises(ValueError, match=r"'nobody/nothing' cannot be opened: .*hf download"):
        LocalExpander("nobody/nothing")
    with pytest.raises(ValueError, match="cannot be opened"):
        LocalCaptioner(str(tmp_path))
    with pytest.raises(ValueError, match="cannot be opened"):  # it cannot see
        LocalCaptioner(str(language_folder))
