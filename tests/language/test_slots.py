"""What a sentence asks for is read from its words; what another one loses or says against it is found."""

import pytest

from ozora.language import lexicon
from ozora.language.slots import Thing, contradictions, is_plain, lost, plain, read_text
from ozora.world import wording
from ozora.world.scene import COLORS, SHAPES

DENSE = (
    "On a beige floor under a clear sky, a large red ball is up in the air in the middle and a blue cube "
    "stands to the right of the red ball. The red ball falls, hits the floor after 0.4 seconds and bounces "
    "twice. The blue cube stays still. The camera does not move."
)


def test_the_tables_know_every_word_of_the_worlds():
    assert set(COLORS) == set(lexicon.COLORS) and set(lexicon.SHAPES) == set(SHAPES)
    for shape, nouns in wording.SHAPE_NOUNS.items():
        assert {thing for noun in nouns for thing in read_text(f"a red {noun}").things} == {Thing("red", shape)}
    for (motion, direction), sentences in wording.CAMERA_SENTENCES.items():
        phrases = wording.CAMERA_PHRASES[motion, direction]
        for text in (*sentences, *(f"a red ball falls {phrase}" for phrase in phrases)):
            assert read_text(text).values("camera") == [f"{motion} {direction}".strip()], text
    for looks in wording.FLOOR_WORDS.values():
        assert all(read_text(f"on a {look} floor").values("floor") for look in looks)


def test_a_caption_is_read():
    said = read_text(DENSE)
    assert said.things == (Thing("red", "sphere"), Thing("blue", "cube"))
    assert set(said.values("action")) >= {"fall", "hit", "bounce", "rest"}
    assert said.values("floor") == ["beige"] and said.values("sky") == ["blue"] and said.values("camera") == ["static"]
    assert said.values("place") == ["air", "middle"] and said.values("relation") == ["right of"]


@pytest.mark.parametrize(
    "text, color, shape, action",
    [
        ("A crimson orb plummets.", "red", "sphere", "fall"),
        ("eine rote Kugel fällt", "red", "sphere", "fall"),
        ("un cubo azul se desliza", "blue", "cube", "slide"),
        ("una pelota roja cae", "red", "sphere", "fall"),
        ("ein grüner Würfel rutscht", "green", "cube", "slide"),
        ("a yelow cyllinder rols", "yellow", "cylinder", "roll"),
    ],
)
def test_synonyms_typos_and_two_languages_mean_the_same(text, color, shape, action):
    said = read_text(text)
    assert said.things == (Thing(color, shape),) and said.values("action") == [action] and not said.other
    noun = lexicon.SHAPES[shape][0]
    own = plain(text)
    assert f"{color} {noun}" in own or f"{color} cylinder" in own, own
    assert not lost(text, own) and not lost(own, f"{own}.")


def test_real_words_that_look_like_known_ones_are_no_typos():
    for word in ("bull", "bell", "bone", "tube", "boat"):
        assert read_text(f"a {word}").things == (), word
    assert read_text("a red dragon breathes fire").other == ("dragon", "breathes", "fire")


def test_what_is_kept_and_what_is_lost():
    assert lost("a red ball falls near a blue box", DENSE) == []
    assert lost("a red ball", DENSE) == [] and lost("something falls", DENSE) == []
    assert lost("a red ball falls near a green box", DENSE) == ["green cube"]
    assert lost("two red balls fall", DENSE) == ["red sphere"]
    assert lost("a red ball falls and breaks", DENSE) == ["action break"]
    assert lost("a small red ball falls", DENSE) == ["size small"]
    assert lost("a red ball falls, the camera pans left", DENSE) == ["camera pan left"]
    assert lost("a red ball falls on a giraffe", DENSE) == ["giraffe"]
    assert lost("a red ball rolls to the left", DENSE) == ["action roll", "way left"]
    assert lost("a red ball falls on a dark grey floor", DENSE) == ["floor dark"]


def test_what_is_said_against_a_prompt():
    assert contradictions("a red ball falls near a blue box", DENSE) == []
    assert contradictions("a red ball falls", DENSE) == ["blue cube"]
    assert contradictions("a red ball and a blue cube, the camera pans left", DENSE) == ["camera static"]
    assert contradictions("a red ball and a blue cube on a dark floor", DENSE) == ["floor beige"]
    assert contradictions("a red ball rolls to the left", "A red ball rolls to the right.") == ["way right"]
    assert contradictions("a red ball falls", "A red ball falls and breaks apart.") == ["action break"]
    assert contradictions("a red ball falls", "A red ball falls and does not break.") == []
    assert contradictions("a red ball stays still", "A red ball falls.") == ["action fall"]
    for posture in ("just stands around", "sits there", "is simply lying about", "does nothing"):
        assert contradictions(f"a red ball {posture}", "A red ball rolls.") == ["action roll"]
    assert contradictions("a red ball stands on the left and falls", "A red ball on the left falls.") == []
    assert contradictions("a giraffe rides a skateboard", "A giraffe rides a skateboard to a green cone.") == [
        "green cone"
    ]
    assert contradictions("something falls", DENSE) == []


def test_a_patch_that_changes_colour_and_things_named_again_are_no_more_things():
    text = "A purple ball rolls to the left and touches a patch. The patch becomes purple. The purple ball stops."
    assert read_text(text).things == (Thing("purple", "sphere"),)
    assert read_text(text).values("mark") == ["purple"]
    assert contradictions("a purple ball rolls and turns red", text) == ["mark purple"]


def test_plain_keeps_what_it_does_not_know():
    assert plain("a giraffe on a skateboard") == "a giraffe on a skateboard"
    assert plain("a yelow ball in the rain") == "a yelow ball in the rain" and plain("a yelow ball") == "a yellow ball"
    assert plain("A violet globe dangles.") == "A purple ball swings."
    assert plain("ein roter Ball fällt auf den Boden") == "a red ball falls on the floor"
    assert plain("an emerald crate") == "a green cube" and plain("a amber orb") == "an orange ball"


def test_a_prompt_is_in_the_captions_words_or_in_others():
    for text in ("A red ball  falls.", "a blue cube slides to the left", "a sand-coloured surface", "a giraffe"):
        assert is_plain(text), text
    for text in ("a crimson ball falls", "ein roter Ball fällt", "a yelow ball falls", "a red ball plummets"):
        assert not is_plain(text), text
