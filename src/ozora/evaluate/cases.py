"""What are models asked, and what should their clips show? The evaluation set, a pure function of one seed.

Two tables come from simulated scenes that no training split holds, captioned from what happened in them; the third from
prompts written by hand. Every case knows a scene that shows it, so the simulator itself can be scored on it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from ozora.clip import Clip
from ozora.data.record import Facts, ObjectFacts, Record

EVALUATION_SEED = 20261123
TABLES = {
    "new": "New seeds and wording",
    "pairs": "Held-out color-shape pairs",
    "prompts": "Prompts written by hand",
}
NUM_SEEDS = 5
MAX_ATTEMPTS = 400
_PROMPTS = Path(__file__).with_name("prompts.json")


@dataclass(frozen=True)
class Case:
    """One thing to ask: the prompt, the seed of the model's noise, and what must be seen.

    ``record`` holds the scene that shows it, its size and length. In ``facts`` an event or a camera of "" is one
    that the prompt leaves open. Cases of one ``group`` share their prompt.
    """

    group: str
    prompt: str
    seed: int
    facts: Facts
    record: Record

    def to_json(self) -> str:
        """One line."""
        fields = {"group": self.group, "prompt": self.prompt, "seed": self.seed, "facts": asdict(self.facts)}
        return json.dumps({**fields, "record": json.loads(self.record.to_json())}, sort_keys=True)

    @staticmethod
    def from_json(line: str) -> "Case":
        """The inverse of ``to_json``."""
        fields = json.loads(line)
        record = Record.from_json(json.dumps(fields.pop("record")))
        facts = fields.pop("facts")
        objects = tuple(ObjectFacts(**item) for item in facts["objects"])
        return Case(facts=Facts(objects, facts["event"], facts["camera"]), record=record, **fields)


def make_cases(table: str, num_clips: int, cache: Path | None = None) -> list[Case]:
    """The first ``num_clips`` cases of a table of ``TABLES``, read from ``cache`` where it holds as many."""
    if cache is not None and cache.exists():
        cases = [Case.from_json(line) for line in cache.read_text(encoding="utf-8").splitlines()]
        if len(cases) == num_clips:
            return cases
    cases = prompt_cases(num_clips) if table == "prompts" else simulated_cases(table, num_clips)
    if cache is not None:
        part = cache.with_name(f".{cache.name}.part")
        part.write_text("".join(case.to_json() + "\n" for case in cases), encoding="utf-8")
        part.replace(cache)
    return cases


def cases_hash(cases: Sequence[Case]) -> str:
    """What identifies an evaluation set: SHA-256 of seed, scene's family and seed, prompt and facts of every case."""
    lines = []
    for case in cases:
        scene = case.record.source["scene"]
        lines.append([case.seed, scene["family"], scene["seed"], case.prompt, asdict(case.facts)])
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()


def render_case(case: Case) -> tuple[Clip, Bool[np.ndarray, "t h w"]]:
    """The simulator's own clip of a case, what a perfect model might show, and where its objects are."""
    from ozora.world.render import render, render_masks
    from ozora.world.scene import Scene
    from ozora.world.simulate import simulate

    scene = Scene.from_json(json.dumps(case.record.source["scene"]))
    trajectory = simulate(scene)
    numbers = [i + 1 for i, body in enumerate(scene.bodies) if body.role != "prop"]
    return render(scene, trajectory), np.isin(render_masks(scene, trajectory), numbers)


def simulated_cases(table: str, num_clips: int) -> list[Case]:
    """Cases of "new" or "pairs": scenes of the split, half of them with two objects, in the sizes ``mini`` is made for.

    Prompts are dense and medium captions in turn. Raises ``ValueError`` for another table.
    """
    from ozora.world.build import Plan, draw_scene, make_record
    from ozora.world.describe import is_shown
    from ozora.world.mix import WorldMix
    from ozora.world.simulate import simulate
    from ozora.world.split import split_of

    splits = {"new": "new_seeds", "pairs": "held_out_pairs"}
    if table not in splits:
        raise ValueError(f"table {table!r} is not simulated; it must be one of {', '.join(splits)}")
    mix = WorldMix.mini().change(num_objects="1:0.5,2:0.5", num_frames="17")
    plan = Plan(EVALUATION_SEED, mix, splits[table])

    def first(index: int) -> Record:
        for attempt in range(MAX_ATTEMPTS):
            scene = draw_scene(plan, index, attempt)
            if split_of(scene) == plan.split and is_shown(scene, trajectory := simulate(scene)):
                return make_record(f"{table}-{index:04d}", scene, trajectory)
        raise ValueError(f"{MAX_ATTEMPTS} scenes in a row are not of split {plan.split!r}")

    cases = []
    for index in range(num_clips):
        record = first(index)
        prompt, true = record.text(("dense", "medium")[index % 2]), record.facts
        assert prompt is not None and true is not None
        cases.append(Case(record.id, prompt, index, Facts(true.objects, true.event, true.camera), record))
    return cases


def prompt_cases(num_clips: int) -> list[Case]:
    """The prompts of prompts.json, each with ``NUM_SEEDS`` seeds, or as many prompts as ``num_clips`` allow.

    Beside each stands a simulated scene of the same objects and event: the first one drawn in which they happen.
    """
    prompts = json.loads(_PROMPTS.read_text(encoding="utf-8"))
    cases = []
    for index in range(num_clips):
        number, seed = index // NUM_SEEDS % len(prompts), index % NUM_SEEDS
        prompt = prompts[number]
        facts = Facts(
            tuple(ObjectFacts(item["color"], item["shape"], "medium") for item in prompt["objects"]),
            prompt["event"],
            prompt["camera"],
        )
        record = _staged(prompt["family"], facts, f"prompts-{number:02d}-{seed}", 1000 * number + seed)
        cases.append(Case(f"prompts-{number:02d}", prompt["prompt"], seed, facts, record))
    return cases


def _staged(family: str, facts: Facts, name: str, seed: int) -> Record:
    """A simulated scene in which the facts are true."""
    from ozora.world.build import make_record
    from ozora.world.describe import is_shown
    from ozora.world.families import sample_scene
    from ozora.world.scene import CAMERAS
    from ozora.world.simulate import simulate

    wanted = sorted((item.color, item.shape) for item in facts.objects)
    camera = facts.camera or "static"
    for attempt in range(MAX_ATTEMPTS):
        scene = sample_scene(
            family,
            seed + 1_000_000 * attempt,
            num_objects=len(facts.objects),
            shapes=sorted({shape for _, shape in wanted}),
            colors=sorted({color for color, _ in wanted}),
            cameras=[pair for pair in CAMERAS if " ".join(pair).strip() == camera],
        )
        if sorted((body.color, body.shape) for body in scene.objects) != wanted:
            continue
        trajectory = simulate(scene)
        if is_shown(scene, trajectory):
            record = make_record(name, scene, trajectory)
            if record.facts is not None and facts.event in ("", record.facts.event):
                return record
    raise ValueError(f"no scene of {family} shows {wanted} with event {facts.event!r} in {MAX_ATTEMPTS} draws")
