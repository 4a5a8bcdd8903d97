"""Does the simulation obey physics, and do its events say what happened?"""

from dataclasses import replace

import numpy as np
import pytest

from ozora.world.families import sample_scene
from ozora.world.scene import EVENTS, FAMILIES, PALETTE, Body, Scene, Trajectory
from ozora.world.simulate import CONSUME_SECONDS, simulate

GRAVITY = 9.81


def ball(name: str, x: float = 0.0, z: float = 2.0, speed: float = 0.0, **fields) -> Body:
    """A smooth, perfectly elastic ball of 20 cm radius."""
    smooth = Body(name, "sphere", "red", 0.2, (x, 0.0, z), velocity=(speed, 0.0, 0.0), friction=0.0, bounce=1.0)
    return replace(smooth, **fields)


def scene_of(*bodies: Body, **fields) -> Scene:
    return replace(Scene("rest", 0, bodies, num_frames=17, fps=8.0), **fields)


def kinds(trajectory: Trajectory, subject: str | None = None) -> list[str]:
    return [event.kind for event in trajectory.events if subject in (None, event.subject)]


def test_an_elastic_frictionless_world_keeps_energy_and_momentum() -> None:
    masses = np.array([1.0, 2.0, 0.5])
    volume = 4 / 3 * np.pi * 0.2**3
    bodies = [
        ball("a", -1.0, speed=2.0, density=masses[0] / volume),
        ball("b", 0.0, density=masses[1] / volume),
        ball("c", 1.0, speed=-1.0, density=masses[2] / volume),
    ]
    trajectory = simulate(scene_of(*bodies, gravity=0.0))
    momentum = np.einsum("k,tkd->td", masses, trajectory.velocity)
    energy = 0.5 * np.einsum("k,tkd->t", masses, trajectory.velocity**2)
    assert len([event for event in trajectory.events if event.kind == "hit"]) >= 2
    assert np.allclose(momentum, momentum[0], atol=1e-3)
    # A contact is a spring: while two balls touch, some energy is in it.
    assert abs(energy[-1] / energy[0] - 1) < 0.03
    first = next(event for event in trajectory.events if event.kind == "hit")
    assert (first.subject, first.object) == ("c", "b") or (first.subject, first.object) == ("a", "b")


def test_equal_elastic_balls_swap_velocities() -> None:
    trajectory = simulate(scene_of(ball("a", -0.8, speed=1.5), ball("b", 0.0), gravity=0.0))
    assert np.allclose(trajectory.velocity[-1, :, 0], [0.0, 1.5], atol=0.03)
    (contact,) = trajectory.contacts
    mass = 300 * 4 / 3 * np.pi * 0.2**3
    assert contact.time == pytest.approx(0.4 / 1.5, abs=0.01)
    assert contact.impulse == pytest.approx(1.5 * mass, rel=0.03)


def test_falling_follows_half_g_t_squared() -> None:
    trajectory = simulate(scene_of(ball("a", z=30.0)))
    times = trajectory.times
    assert np.allclose(trajectory.position[:, 0, 2], 30 - GRAVITY * times**2 / 2, atol=0.03)
    assert np.allclose(trajectory.velocity[:, 0, 2], -GRAVITY * times, atol=1e-9)


@pytest.mark.parametrize("bounce", [0.3, 0.6, 0.9])
def test_a_ball_bounces_as_high_as_it_should(bounce: float) -> None:
    """From height h it comes back to e^2 h."""
    trajectory = simulate(scene_of(ball("a", z=1.4, bounce=bounce), num_frames=97, fps=64.0))
    down = np.sqrt(2 * 1.2 / GRAVITY)
    assert next(event.time for event in trajectory.events if event.kind == "land") == pytest.approx(down, abs=0.01)
    between = (trajectory.times > 1.1 * down) & (trajectory.times < down + 2 * bounce * down)
    highest = trajectory.position[between, 0, 2].max() - 0.2
    assert np.sqrt(highest / 1.2) == pytest.approx(bounce, abs=0.05)


def test_sliding_slows_by_friction_and_stops_where_it_should() -> None:
    box = Body("a", "cube", "red", 0.2, (0.0, 0.0, 0.168), velocity=(1.5, 0.0, 0.0), friction=0.15, bounce=0.0)
    trajectory = simulate(scene_of(box))
    assert trajectory.position[-1, 0, 0] == pytest.approx(1.5**2 / (2 * 0.15 * GRAVITY), rel=0.05)
    stop = next(event.time for event in trajectory.events if event.kind == "stop")
    assert stop == pytest.approx(1.5 / (0.15 * GRAVITY), abs=0.1)


def test_rolling_does_not_slip() -> None:
    roller = ball("a", z=0.2, speed=0.8, friction=0.8, spin=(0.0, 4.0, 0.0), bounce=0.0)
    trajectory = simulate(scene_of(roller))
    assert np.allclose(trajectory.velocity[:, 0, 0], 0.2 * trajectory.spin[:, 0, 1], atol=0.01)
    assert trajectory.velocity[-1, 0, 0] == pytest.approx(0.8, rel=0.02)


def test_a_pendulum_has_the_period_of_a_rod_and_keeps_its_energy() -> None:
    """For a compound pendulum T = 2 pi sqrt(I / (m g L)), with I = m L^2 + 2/5 m r^2 for a ball, times 1 + a^2 / 16."""
    length, radius, angle = 1.0, 0.2, 0.3
    place = (float(length * np.sin(angle)), 0.0, float(2.0 - length * np.cos(angle)))
    hung = Body("a", "sphere", "red", radius, place, pivot=(0.0, 0.0, 2.0))
    trajectory = simulate(scene_of(hung, num_frames=65, fps=16.0))
    passes = [event.time for event in trajectory.events if event.kind == "swing"]
    inertia = length**2 + 0.4 * radius**2
    period = 2 * np.pi * np.sqrt(inertia / (GRAVITY * length)) * (1 + angle**2 / 16)
    assert np.allclose(np.diff(passes), period / 2, atol=0.01)
    energy = 0.5 * inertia * (trajectory.spin[:, 0, 1]) ** 2 + GRAVITY * trajectory.position[:, 0, 2]
    assert np.ptp(energy) < 0.02 * GRAVITY
    arm = trajectory.position[:, 0] - np.array([0.0, 0.0, 2.0])
    assert np.allclose(np.linalg.norm(arm, axis=1), length, atol=1e-6)


def test_a_circle_around_an_attracting_body_closes() -> None:
    center = Body("sun", "sphere", "yellow", 0.2, (0.0, 0.0, 2.0), fixed=True, attraction=1.0)
    planet = ball("planet", x=1.0)
    planet = replace(planet, velocity=(0.0, 1.0, 0.0), size=0.1)
    trajectory = simulate(scene_of(center, planet, gravity=0.0, num_frames=101, fps=16.0))
    distance = np.linalg.norm(trajectory.position[:, 1] - trajectory.position[:, 0], axis=1)
    assert np.allclose(distance, 1.0, atol=0.01)
    angle = np.unwrap(np.arctan2(trajectory.position[:, 1, 1], trajectory.position[:, 1, 0]))
    assert np.allclose(angle, trajectory.times, atol=0.02)


def test_a_belt_carries_what_stands_on_it() -> None:
    belt = Body("belt", "belt", "grey", 1.0, (0.0, 0.0, 0.2), "prop", (9.0, 0.4, 0.1), drive=0.5, density=2000.0)
    box = Body("a", "cube", "red", 0.2, (0.0, 0.0, 0.3 + 0.168), friction=0.8, bounce=0.0)
    trajectory = simulate(scene_of(box, belt))
    assert trajectory.velocity[-1, 0, 0] == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("threshold", [0.0, 3.0, 30.0])
def test_it_breaks_only_if_the_impact_is_hard_enough(threshold: float) -> None:
    """The impact of a fall from 1 m with restitution 0.3 is 1.3 sqrt(2 g h) = 5.8 m/s."""
    scene = next(
        scene
        for scene in (sample_scene("break", seed, num_objects=1) for seed in range(9))
        if scene.parameters["way"] == "fall"
    )
    whole = replace(scene.bodies[0], threshold=threshold + 1e-9, position=(0.0, 0.0, 1.0 + scene.bodies[0].size))
    trajectory = simulate(replace(scene, bodies=(whole, *scene.bodies[1:])))
    strongest = max(contact.impulse for contact in trajectory.contacts)
    broken = "break" in kinds(trajectory)
    assert broken == (threshold < 5)
    assert strongest > 0
    pieces = [k for k, body in enumerate(scene.bodies) if body.role == "piece"]
    assert len(pieces) == 8
    assert not trajectory.visible[0, pieces].any() and trajectory.visible[0, 0]
    assert trajectory.visible[-1, pieces].all() == broken
    assert trajectory.visible[-1, 0] == (not broken)
    if broken:
        time = next(event.time for event in trajectory.events if event.kind == "break")
        assert ((trajectory.times < time) == trajectory.visible[:, 0]).all()
        assert trajectory.position[-1, pieces, 2].min() > -0.2  # they lie on the floor, they do not sink in


@pytest.mark.parametrize("family", ["break", "consume", "mark"])
def test_it_happens_mostly_but_not_always(family: str) -> None:
    happened = []
    while len(happened) < 8 or all(happened):
        assert len(happened) < 40
        happened.append(family in kinds(simulate(sample_scene(family, len(happened), num_frames=11))))
    assert np.mean(happened) > 0.4


def test_what_is_consumed_shrinks_and_is_gone() -> None:
    eater = ball("a", -0.8, z=0.2, speed=1.0)
    food = ball("b", 0.0, z=0.2, color="blue", reaction="consume", threshold=0.01)
    trajectory = simulate(scene_of(eater, food))
    time = next(event.time for event in trajectory.events if event.kind == "consume")
    assert time == pytest.approx(0.4, abs=0.02)
    assert (trajectory.scale[trajectory.times < time, 1] == 1).all()
    assert not trajectory.visible[trajectory.times > time + CONSUME_SECONDS + 0.01, 1].any()
    assert (trajectory.scale[trajectory.times > time + 0.01, 1] < 1).all()
    assert trajectory.velocity[-1, 0, 0] > 0.8  # it went on through


def test_a_touch_leaves_the_strikers_colour() -> None:
    striker = ball("a", -0.8, z=0.2, speed=1.0)
    target = ball("b", 0.0, z=0.2, color="blue", reaction="mark", threshold=0.02)
    trajectory = simulate(scene_of(striker, target))
    time = next(event.time for event in trajectory.events if event.kind == "mark")
    before = trajectory.times < time
    assert (trajectory.color[before, 1] == PALETTE.index("blue")).all()
    assert (trajectory.color[~before, 1] == PALETTE.index("red")).all()
    missed = simulate(scene_of(replace(striker, position=(-0.8, 1.0, 0.2)), target))
    assert "mark" not in kinds(missed) and "hit" not in kinds(missed)


def test_hidden_and_appear_are_seen_from_the_camera() -> None:
    for seed in range(3):
        trajectory = simulate(sample_scene("hide", seed, num_objects=1, cameras=[("static", "")]))
        first = [event for event in trajectory.events if event.kind in ("hidden", "appear")]
        assert [event.kind for event in first] == ["hidden", "appear"]
        assert first[0].object == "wall"


def test_what_rolls_down_in_front_of_the_slope_is_not_hidden() -> None:
    for seed in range(12):
        scene = sample_scene("ramp", seed, num_objects=1, cameras=[("static", "")], num_frames=9)
        assert "hidden" not in kinds(simulate(scene)), seed


def test_a_late_body_enters_when_it_should() -> None:
    late = ball("a", z=1.0, start=0.6)
    trajectory = simulate(scene_of(late))
    assert (trajectory.visible[:, 0] == (trajectory.times >= 0.6)).all()
    assert np.allclose(trajectory.position[trajectory.times < 0.6, 0, 2], 1.0)


def test_nothing_happens_at_rest() -> None:
    for seed in range(3):
        trajectory = simulate(sample_scene("rest", seed, cameras=[("static", "")]))
        assert trajectory.events == ()
        assert np.abs(np.diff(trajectory.position, axis=0)).max() < 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_scene_runs_the_same_and_from_json_too(family: str) -> None:
    scene = sample_scene(family, 3, num_frames=9)
    one, two = simulate(scene), simulate(Scene.from_json(scene.to_json()))
    for name in ("times", "position", "quaternion", "velocity", "spin", "visible", "scale", "color"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert one.contacts == two.contacts and one.events == two.events
    assert {event.kind for event in one.events} <= set(EVENTS)
    assert [event.time for event in one.events] == sorted(event.time for event in one.events)


def test_bad_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match="one at least"):
        simulate(scene_of(ball("a"), num_frames=0))
    with pytest.raises(ValueError, match="refuses"):
        simulate(scene_of(ball("a"), ball("a", 1.0)))
