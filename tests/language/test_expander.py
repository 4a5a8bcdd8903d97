"""An expansion keeps what was asked, whoever proposed what; the same prompt and seed give the same words."""

import pytest
import torch

from ozora.language.expander import TrainedExpander, completed, expand, missing_parts, prompt_tokens, why_not
from ozora.language.slots import contradictions, lost, plain

GOOD = "A red ball is in the air. The red ball falls on a grey floor under a pale sky. The camera does not move."


class Says:
    """An expander that always proposes the same."""

    def __init__(self, *texts, error=None):
        self.id, self.texts, self.error, self.asked = "says", list(texts), error, []

    def propose(self, prompt, seed=0):
        self.asked.append(prompt)
        if self.error:
            raise self.error
        return self.texts


class Words:
    """A text encoder: a random state for each word."""

    id, width, max_tokens, hash = "words", 12, 64, "1" * 64

    def pieces(self, text):
        return []

    def encode(self, texts):
        return [torch.randn(len(text.split()), 12, generator=torch.Generator().manual_seed(1)) for text in texts]


def test_the_first_proposal_that_holds_is_taken():
    expansion = expand("a red ball falls", [Says("A blue cube falls. The camera does not move.", GOOD)])
    assert expansion.text == GOOD and expansion.by == "says"
    assert len(expansion.refused) == 1 and "lost red sphere" in expansion.refused[0]


def test_where_one_does_not_answer_or_not_well_the_next_takes_over():
    down, nonsense, own = (
        Says(error=ConnectionError("nobody")),
        Says(error=RuntimeError("answered nonsense")),
        Says(GOOD),
    )
    expansion = expand("a red ball falls", [down, nonsense, own])
    assert expansion.text == GOOD and expansion.refused == ("says: nobody", "says: answered nonsense")


@pytest.mark.parametrize(
    "prompt",
    [
        "a red ball falls",
        "A violet globe dangles from a string",
        "ein roter Ball fällt",
        "una pelota roja cae",
        "a giraffe on a skateboard",
        "two red balls roll to the left",
        "ein Hund läuft im Regen",
        "赤いボールが落ちる",
        "red",
        "a red bal fals!!",
    ],
)
def test_rules_keep_everything_of_any_prompt(prompt):
    expansion = expand(prompt, [Says("Something else entirely is shown here.")])
    assert expansion.by == "rules"
    assert not lost(plain(prompt), expansion.text) and not contradictions(plain(prompt), expansion.text)
    assert expansion.text[-1] in ".!" and expansion == expand(prompt, [Says("Something else entirely is shown here.")])


def test_rules_add_nothing_beside_words_that_no_table_knows():
    assert expand("a crimson orb rolls as our viewpoint swings round it").text == (
        "A red ball rolls as our viewpoint swings round it."
    )
    assert expand("a crimson orb rolls").text.endswith("The camera does not move.")


def test_what_is_written_in_another_language_is_proposed_in_the_captions_words():
    says = Says(GOOD)
    assert expand("ein roter Ball fällt", [says]).text == GOOD
    assert says.asked == ["a red ball falls"]


def test_a_prompt_in_full_is_left_as_it_is():
    full = "A red ball falls on a grey floor under a pale sky and bounces three times. The camera pans left."
    assert missing_parts(full) == []
    assert expand(full, [Says("anything at all")]).text == full
    assert missing_parts("a red ball") == ["setting", "camera", "detail"]


def test_rules_add_a_setting_only_where_no_place_is_spoken_of():
    assert "scene is set" in completed("a red ball falls") and completed("a red ball falls").endswith("does not move.")
    assert "scene is set" not in completed("waves on a beach") and "scene is set" not in completed(
        "a ball on a dark floor"
    )
    assert completed("a red ball, the camera pans left").count("camera") == 1
    assert completed("a red ball", 1) == completed("a red ball", 1)
    assert len({completed("a red ball", seed) for seed in range(20)}) > 1


def test_too_little_and_too_much_are_no_expansions():
    assert why_not("a red ball", "red ball") == ["2 words"]
    assert why_not("a red ball", " ".join(["a red ball"] * 80)) == ["240 words"]


def test_what_is_no_text_is_refused():
    for text in ("", " \n", "a\0b", "x" * 10_001):
        with pytest.raises(ValueError):
            expand(text)


def test_the_trained_expander_is_seeded_and_reads_one_encoders_states(stored):
    expander = TrainedExpander(stored("expander", Words.hash), Words(), num_drawn=3)
    one, two = expander.propose("a red ball", 5), expander.propose("a red ball", 5)
    assert one == two != expander.propose("a red ball", 6)
    assert expander.propose("a red ball " * 40) == [] and prompt_tokens(expander.stored, "a red ball " * 40) is None
    with pytest.raises(ValueError, match="text encoder"):
        TrainedExpander(stored("expander", "2" * 64), Words())
    with pytest.raises(ValueError, match="captioner"):
        TrainedExpander(stored("captioner"), Words())
