"""How does a folder of simulated, captioned clips come about? Scene by scene, shard by shard, on all cores.

Clip ``i`` of a build is a function of (seed, i, mix, split) alone, so the number of processes changes nothing, a
build goes on where it was stopped, and more clips can be asked for later. Only whole shards are ever left.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing import connection
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ozora.clip import Clip
from ozora.data.record import Record
from ozora.data.shards import shard_path, whole_shards, write_shard
from ozora.world.describe import is_shown, read_facts, write_captions
from ozora.world.families import NUM_OBJECTS, sample_scene
from ozora.world.mix import Shares, WorldMix, draw
from ozora.world.render import render
from ozora.world.scene import CAMERAS, Scene, Trajectory
from ozora.world.simulate import simulate
from ozora.world.split import SPLITS, split_of
from ozora.world.turning import (
    SHORTEST,
    make_turn_record,
    render_turn,
    sample_turn,
    split_of_turn,
    turn_is_shown,
)

MAX_ATTEMPTS = 1000
_PLAN = "build.json"


@dataclass(frozen=True)
class Plan:
    """All that decides what a build makes, but for how many clips. ``split`` "all" keeps every scene.

    Of the clips that are long enough a share ``transitions`` show one scene that turns into another.
    """

    seed: int
    mix: WorldMix
    split: str = "train"
    clips_per_shard: int = 128
    transitions: float = 0.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be 0 or more")
        if self.split not in (*SPLITS, "all"):
            raise ValueError(f"split {self.split!r} is not one of {', '.join(SPLITS)}, all")
        if self.clips_per_shard < 1:
            raise ValueError(f"clips_per_shard is {self.clips_per_shard}; it must be 1 or more")
        if not 0 <= self.transitions <= 1:
            raise ValueError(f"transitions is {self.transitions}; it is a share of the clips, from 0 to 1")
        longest = max(length for length, weight in self.mix.num_frames if weight > 0)
        if self.transitions > 0 and longest < SHORTEST:
            raise ValueError(f"no clip of the mix is longer than {longest} frames; a transition has {SHORTEST} or more")

    def to_json(self) -> str:
        """What ``build`` keeps in the folder, to refuse to mix two builds in it."""
        plan = asdict(self)
        if not self.transitions:  # as folders say that were built before there were any
            del plan["transitions"]
        return json.dumps({"plan": plan, "mujoco": version("mujoco")}, indent=1) + "\n"


def build(
    out: str | os.PathLike[str],
    clips: int,
    seed: int = 0,
    mix: WorldMix | None = None,
    split: str = "train",
    workers: int | None = None,
    clips_per_shard: int = 128,
    show_progress: bool = True,
    transitions: float = 0.0,
) -> int:
    """Make the folder ``out`` hold ``clips`` simulated clips with records; returns how many were made now.

    ``split`` keeps scenes of one split only (see ``split.py``; "all" keeps every scene and the record says which
    it is). A share ``transitions`` of the clips of five frames or more show one scene that turns into another (see
    ``turning.py``). Whole shards that are there are kept, so a stopped build goes on when it is called again. Ctrl-C
    stops between two clips and leaves whole shards. Raises ``ValueError`` before any work for bad input and for
    a folder that holds another build.
    """
    if clips < 1:
        raise ValueError(f"clips is {clips}; it must be 1 or more")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it must be 1 or more, or None for one per core")
    plan = Plan(seed, mix or WorldMix(), split, clips_per_shard, transitions)
    for family in (family for family, weight in plan.mix.families if weight > 0):
        _sample(plan.mix, family, np.random.default_rng(seed))  # a mix that a family cannot serve is refused here
    folder = Path(out)
    missing = _missing_shards(folder, plan, clips)
    workers = min(workers or len(os.sched_getaffinity(0)), max(len(missing), 1))
    num_clips = sum(size for _, size in missing)
    bar = Progress(
        TextColumn("worlds"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not show_progress,
    )
    with bar:
        task = bar.add_task("worlds", total=num_clips, rate="")

        def advance(done: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, rate=f"{speed:.1f} clips/s" if speed else "")

        if workers == 1:
            made = (step for index, size in missing for step in _make_shard(folder, plan, index, size))
            for done, _ in enumerate(made, start=1):
                advance(done)
        else:
            _make_in_parallel(folder, plan, missing, workers, advance)
    return num_clips


def make_clip(plan: Plan, index: int) -> tuple[Clip, Record, dict[str, np.ndarray]]:
    """Clip ``index`` of a build, its record, and its trajectory as arrays (a transition's source says it all).

    Raises ``ValueError`` where a thousand scenes in a row are of another split or show nothing.
    """
    turns = np.random.default_rng([plan.seed, index, MAX_ATTEMPTS]).random() < plan.transitions
    for attempt in range(MAX_ATTEMPTS):
        scene = draw_scene(plan, index, attempt)
        make = partial(_turn, plan, index, attempt) if turns and scene.num_frames >= SHORTEST else partial(_play, plan)
        if (made := make(f"{plan.seed}-{index:07d}", scene)) is not None:
            return made
    raise ValueError(f"{MAX_ATTEMPTS} scenes in a row are not of split {plan.split!r}; widen the mix")


def _play(plan: Plan, id: str, scene: Scene) -> tuple[Clip, Record, dict[str, np.ndarray]] | None:
    """The scene's clip, or None where it is of another split or does not show all objects."""
    if plan.split not in ("all", split_of(scene)):
        return None
    trajectory = simulate(scene)
    if not is_shown(scene, trajectory):
        return None
    return render(scene, trajectory), make_record(id, scene, trajectory), trajectory_arrays(trajectory)


def _turn(
    plan: Plan, index: int, attempt: int, id: str, one: Scene
) -> tuple[Clip, Record, dict[str, np.ndarray]] | None:
    """The clip of the scene that turns into another one of its size, length and rate, or None as above."""
    generator = np.random.default_rng([plan.seed, index, attempt, 1])
    alike = replace(
        plan.mix,
        sizes=(((one.width, one.height), 1.0),),
        num_frames=((one.num_frames, 1.0),),
        fps=((one.fps, 1.0),),
    )
    turn = sample_turn(one, _sample(alike, draw(alike.families, generator), generator), generator)
    if plan.split not in ("all", split_of_turn(turn)):
        return None
    first, second = simulate(turn.one), simulate(turn.two)
    if not turn_is_shown(turn, first, second):
        return None
    return render_turn(turn, first, second), make_turn_record(id, turn, first, second), {}


def draw_scene(plan: Plan, index: int, attempt: int = 0) -> Scene:
    """The scene drawn for clip ``index`` at this attempt, of whatever split it is."""
    generator = np.random.default_rng([plan.seed, index, attempt])
    return _sample(plan.mix, draw(plan.mix.families, generator), generator)


def _sample(mix: WorldMix, family: str, generator: np.random.Generator) -> Scene:
    least, most = NUM_OBJECTS[family]
    motion = draw(mix.cameras, generator)
    width, height = draw(mix.sizes, generator)
    return sample_scene(
        family,
        int(generator.integers(2**31)),
        num_objects=min(max(draw(mix.num_objects, generator), least), most),
        shapes=_repeated(mix.shapes),
        colors=tuple(color for color, weight in mix.colors if weight > 0),
        width=width,
        height=height,
        num_frames=draw(mix.num_frames, generator),
        fps=draw(mix.fps, generator),
        cameras=tuple(camera for camera in CAMERAS if camera[0] == motion),
    )


def _repeated(shares: Shares[str]) -> tuple[str, ...]:
    """A family draws evenly from the shapes that suit it, so a larger share is given as more of the same."""
    total = sum(weight for _, weight in shares)
    return tuple(value for value, weight in shares for _ in range(round(20 * weight / total)))


def make_record(id: str, scene: Scene, trajectory: Trajectory) -> Record:
    """The complete record of a simulated clip: what it shows, in facts and in words, and how to make it again."""
    facts = read_facts(scene, trajectory)
    return Record(
        id=id,
        width=scene.width,
        height=scene.height,
        num_frames=scene.num_frames,
        fps=scene.fps,
        captions=write_captions(scene, trajectory),
        split=split_of(scene),
        facts=facts,
        source={
            "scene": json.loads(scene.to_json()),
            "mujoco": version("mujoco"),
            "contacts": [asdict(contact) for contact in trajectory.contacts],
            "events": [asdict(event) for event in trajectory.events],
        },
    )


def trajectory_arrays(trajectory: Trajectory) -> dict[str, np.ndarray]:
    """The state at every frame as a shard keeps it: float32, and bytes for what is drawn and in which colour."""
    return {
        "position": trajectory.position.astype(np.float32),
        "quaternion": trajectory.quaternion.astype(np.float32),
        "velocity": trajectory.velocity.astype(np.float32),
        "spin": trajectory.spin.astype(np.float32),
        "scale": trajectory.scale.astype(np.float32),
        "visible": trajectory.visible.astype(np.uint8),
        "color": trajectory.color.astype(np.uint8),
    }


def _missing_shards(folder: Path, plan: Plan, clips: int) -> list[tuple[int, int]]:
    """(index, number of clips) of the shards to make; writes the plan into a new folder and checks it in an old one."""
    stated = folder / _PLAN
    if stated.exists() and stated.read_text(encoding="utf-8") != plan.to_json():
        raise ValueError(
            f"{folder} holds a build of another seed, mix, split, transitions or simulator; choose another folder"
        )
    there = whole_shards(folder)
    if there and not stated.exists():
        raise ValueError(f"{folder} holds shards but no {_PLAN}, so it is no build; choose another folder")
    sizes = [min(plan.clips_per_shard, clips - start) for start in range(0, clips, plan.clips_per_shard)]
    if there and there[-1] >= len(sizes):
        raise ValueError(f"{folder} holds {there[-1] + 1} shards, {clips} clips are {len(sizes)}; ask for no fewer")
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.part"):
        leftover.unlink()
    part = folder / f".{_PLAN}.part"
    part.write_text(plan.to_json(), encoding="utf-8")
    part.replace(stated)
    return [(i, size) for i, size in enumerate(sizes) if i not in there or _num_records(folder, i) != size]


def _num_records(folder: Path, index: int) -> int:
    with shard_path(folder, index).open("rb") as lines:
        return sum(1 for _ in lines)


def _make_shard(folder: Path, plan: Plan, index: int, size: int) -> Iterator[None]:
    """Make and write one shard; yields after every clip, so that its caller can count, or stop it."""
    clips, records, arrays = [], [], []
    for i in range(index * plan.clips_per_shard, index * plan.clips_per_shard + size):
        clip, record, extra = make_clip(plan, i)
        clips.append(clip)
        records.append(record)
        arrays.append(extra)
        yield
    write_shard(folder, index, clips, records, arrays)


def _make_in_parallel(
    folder: Path, plan: Plan, missing: list[tuple[int, int]], workers: int, advance: Callable[[int], None]
) -> None:
    """Share the shards out among processes. An error in one of them stops all, and is raised here."""
    context = multiprocessing.get_context("spawn")
    taken, done, stop, errors = context.Value("q", 0), context.Value("q", 0), context.Event(), context.SimpleQueue()
    processes = [
        context.Process(target=_work, args=(folder, plan, missing, taken, done, stop, errors)) for _ in range(workers)
    ]
    # A process started while Ctrl-C is ignored goes on ignoring it: the parent alone hears it, and asks all to stop.
    in_main_thread = threading.current_thread() is threading.main_thread()
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        for process in processes:
            process.start()
        if in_main_thread:
            signal.signal(signal.SIGINT, heard)
        while any(process.is_alive() for process in processes):
            connection.wait([process.sentinel for process in processes if process.is_alive()], timeout=0.2)
            advance(done.value)
            if any(process.exitcode not in (None, 0) for process in processes):
                break
    finally:
        stop.set()
        for process in processes:
            process.join()
    advance(done.value)
    if not errors.empty():
        raise errors.get()
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise RuntimeError(f"a process that makes worlds ended with exit code {failed[0]}; whole shards are kept")


def _work(folder: Path, plan: Plan, missing: list[tuple[int, int]], taken, done, stop, errors) -> None:
    """One process: take the next shard until none is left, or until told to stop, or the parent is gone."""
    parent = multiprocessing.parent_process()
    try:
        while True:
            with taken.get_lock():
                turn = taken.value
                taken.value += 1
            if turn >= len(missing):
                return
            for _ in _make_shard(folder, plan, *missing[turn]):
                with done.get_lock():
                    done.value += 1
                if stop.is_set() or (parent is not None and not parent.is_alive()):
                    return
    except Exception as error:
        errors.put(error)
        sys.exit(1)
