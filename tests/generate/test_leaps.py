"""Who is drawn in few steps, who is not, and does it matter to anybody else?"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from ozora.generate import tasks
from ozora.generate.folder import load_folder, save_folder
from ozora.generate.generator import Generator
from ozora.generate.leaps import Leaps, changeable, changed, changes_of, write_leaps
from ozora.generate.request import Request


@pytest.fixture(scope="module")
def learned(model):
    """A network that has learned something, and what."""
    torch.manual_seed(3)
    network = changeable(model.transformer, 4)
    with torch.no_grad():
        for part in changes_of(network).values():
            part.add_(0.1 * torch.randn_like(part))
    return network, {name: part.detach() for name, part in changes_of(network).items()}


@pytest.fixture(scope="module")
def leaper(model, generator, learned):
    sampling = replace(model.config.sampling, steps=12)
    leaps = Leaps(4, 2.0, changed(model.transformer, learned[1]).eval(), "e" * 64)
    return Generator(
        replace(model, config=replace(model.config, sampling=sampling), leaps=leaps), generator.text_encoder
    )


def finished(generator, rendering):
    while not rendering.is_done:
        generator.advance([rendering])
    return rendering.latents


def test_changes_are_nothing_at_first_and_then_what_was_learned(model, learned):
    network, changes = learned
    fresh = changed(model.transformer, changes_of(changeable(model.transformer, 4)))
    for before, same, after, beside in zip(
        *(x.parameters() for x in (model.transformer, fresh)),
        changed(model.transformer, changes).parameters(),
        changed(fresh, changes).parameters(),
    ):
        assert torch.equal(before, same) and torch.equal(after, beside) and not torch.equal(before, after)
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert len(trained) == len(changes)
    for wrong in (dict(list(changes.items())[1:]), changes | {"nothing.up": torch.zeros(1, 1)}):
        with pytest.raises(ValueError, match=r"they lack|nothing\.up"):
            changed(model.transformer, wrong)


@pytest.mark.parametrize(
    "options, sampler",
    [
        ({}, "multistep"),
        ({"steps": 4}, "leap"),
        ({"steps": 4, "sampler": "euler"}, "euler"),
        ({"steps": 3}, "multistep"),
        ({"steps": 4, "guidance": 3.0}, "multistep"),
        ({"steps": 4, "negative": "a dog"}, "multistep"),
    ],
)
def test_four_steps_are_leaps_where_the_model_learned_them(leaper, options, sampler):
    request = leaper.resolve(Request("a red ball", seconds=1.0, **options))
    assert request.sampler == sampler
    assert leaper.resolve(request) == request == leaper.resolve(Request.from_settings(request.settings()))
    assert ("leaps_hash" in leaper.settings(request)) == (sampler == "leap")


def test_a_fall_back_is_told_and_a_wish_that_cannot_be_is_refused(leaper, generator):
    asked = Request("a ball", seconds=1.0, steps=4)
    for request, match in (
        (replace(asked, negative="a dog"), "without a negative prompt only"),
        (replace(asked, guidance=9.0), "guidance 2 only"),
    ):
        (doubt,) = leaper.doubts(request)
        assert match in doubt and "plain one" in doubt
    assert leaper.doubts(asked) == []
    still = leaper("a ball", seconds=0.125)
    half = tasks.edit(still, 0.5, leaper.model)
    assert leaper.resolve(Request("a ball", steps=4, canvas=half)).sampler == "multistep"
    script = Request("a ball", seconds=3.0, steps=4, script=((1.0, "a cube"),))
    assert (leaper.resolve(script).sampler, leaper.resolve(script).guidance) == ("leap", 2.0)
    with pytest.raises(ValueError, match="leaps in 4 steps only"):
        leaper.resolve(Request("a ball", steps=12, sampler="leap"))
    with pytest.raises(ValueError, match="has not learned to leap"):
        generator.resolve(Request("a ball", steps=4, sampler="leap"))
    assert generator.resolve(Request("a ball", steps=4)).sampler == "multistep"


def test_leaps_and_others_move_side_by_side_and_neither_minds(leaper, generator, monkeypatch):
    requests = [
        Request("a red ball", seconds=1.0, steps=4, seed=1),
        Request("a red ball", seconds=1.0, steps=4, seed=2, negative="a dog"),
        Request("two blue cubes", size=(48, 32), seconds=0.125, steps=4, seed=3),
        Request("a cone", seconds=1.0, seed=4),
    ]
    alone = [finished(leaper, leaper.begin(request)) for request in requests]
    asked = []
    predict = leaper._predict
    monkeypatch.setattr(leaper, "_predict", lambda t, x, *rest: (asked.append((t, len(x))), predict(t, x, *rest))[1])
    renderings = [leaper.begin(request) for request in requests]
    while moving := [rendering for rendering in renderings if not rendering.is_done]:
        expected = sum(rendering.num_tokens for rendering in moving)
        asked.clear()
        leaper.advance(moving)
        leaping = sum(len(r.point.x) for r in moving if r.is_leaping)
        assert sum(count for _, count in asked) == expected
        assert [count for network, count in asked if network is leaper.leaps.transformer] == [leaping] * (leaping > 0)
    for rendering, latents in zip(renderings, alone):
        torch.testing.assert_close(rendering.latents, latents, atol=2e-4, rtol=0)
    plain = generator.begin(replace(requests[3], steps=12))  # a model without leaps
    assert torch.equal(finished(generator, plain), alone[3])


def test_a_leap_takes_no_step_twice_and_skips_none(leaper):
    rendering = leaper.begin(Request("a red ball", seconds=1.0, steps=4))
    levels = rendering.levels.squeeze(2)
    assert rendering.num_steps == 4 and levels[0].eq(1).all() and levels[-1].eq(0).all()
    assert rendering.max_tokens == rendering.num_tokens == len(rendering.point.x)


def test_given_pixels_stay_and_long_clips_go_on(leaper):
    still = leaper("a ball", seconds=0.125, seed=9)
    made = leaper("it moves", canvas=tasks.animate(still, 9, 8.0, leaper.model), steps=4)
    assert np.array_equal(made.frames[0], still.frames[0]) and made.frames[1:].std() > 1
    with pytest.warns(UserWarning, match="frames are more than"):
        assert leaper("a ball", seconds=3.0, steps=4).num_frames == 24


def test_laid_aside_it_goes_on_bit_for_bit(leaper, model, generator):
    request = Request("a red ball", seconds=1.0, steps=4)
    straight = finished(leaper, leaper.begin(request))
    rendering = leaper.begin(request)
    for _ in range(2):
        leaper.advance([rendering])
    state = save(rendering.state())
    assert torch.equal(finished(leaper, leaper.begin(request, load(state))), straight)
    other = replace(leaper.model, leaps=replace(leaper.leaps, hash="d" * 64))
    with pytest.raises(ValueError, match="another model"):
        Generator(other, generator.text_encoder).begin(request, load(state))


def test_the_folder_keeps_its_hash_and_foreign_changes_are_refused(model, learned, tmp_path):
    folder = save_folder(tmp_path / "new", model.config, model.autoencoder, model.transformer, "")
    plain = load_folder(folder)
    assert plain.leaps is None and plain.transformer is not None
    path = write_leaps(folder, 4, 2.0, learned[1])
    found = load_folder(folder)
    assert (
        found.hash == plain.hash
        and found.leaps is not None
        and (found.leaps.num_steps, found.leaps.guidance) == (4, 2.0)
    )
    exact = changed(plain.transformer, {name: part.bfloat16() for name, part in learned[1].items()})
    assert all(torch.equal(a, b) for a, b in zip(found.leaps.transformer.parameters(), exact.parameters()))
    write_leaps(folder, 4, 2.0, {name: 2 * part for name, part in learned[1].items()})
    other = load_folder(folder)
    assert other.hash == plain.hash and other.leaps is not None and other.leaps.hash != found.leaps.hash
    write_leaps(folder, 4, 2.0, dict(list(learned[1].items())[2:]))
    with pytest.raises(ValueError, match="not changes of these weights"):
        load_folder(folder)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="truncated"):
        load_folder(folder)
    assert not list(folder.glob(".*"))
