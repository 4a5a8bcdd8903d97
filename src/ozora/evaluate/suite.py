"""How well does a model do what it is told? Tables of the parts it gets right, beside a ceiling and a control.

Every table has the same rows: the model; the same clips scored against other clips' prompts (the control: near
chance, or the evaluator is broken); the simulator's own renders and their reconstructions by the model's autoencoder
(the ceilings).
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from ozora.clip import Clip
from ozora.data.record import Caption, Record
from ozora.data.shards import ShardReader, whole_shards, write_shard
from ozora.evaluate.alignment import PARTS, Reading, compare, read
from ozora.evaluate.cases import TABLES, Case, cases_hash, make_cases, render_case
from ozora.evaluate.distortion import psnr, ssim
from ozora.evaluate.parts import plain_rows, write_text
from ozora.evaluate.tables import Rows, Share, bootstrap, markdown_table, terminal_table
from ozora.generate.folder import Model, find_model, load_folder
from ozora.generate.generator import Generator
from ozora.generate.request import Request

NUM_CLIPS = 200
FROM_FRAMES = ("sizes", "directions", "world", "pixels", "distribution", "autoencoder")
WORDS = ("captions", "expansion")
SUITES = ("all", *TABLES, *FROM_FRAMES, *WORDS)
SUBSETS: dict[str, Callable[[Case], bool]] = {
    "all": lambda case: True,
    "one object": lambda case: len(case.facts.objects) == 1,
    "two objects": lambda case: len(case.facts.objects) == 2,
}


def evaluate(
    model: str = "mini",
    suite: str = "all",
    out: Path = Path("report"),
    num_clips: int | None = None,
    batch: int = 10,
    steps: int | None = None,
    guidance: float | None = None,
    device: str | None = None,
    console: Console | None = None,
) -> dict:
    """Score ``model`` on a table of ``TABLES``, or by another of ``SUITES``; print tables, write them into ``out``.

    Every other suite has a file of its own; "all" makes one report of all of them (``report.py``). ``num_clips`` None
    is 200 a table, and what each suite says of itself.
    ``model`` is a name, a folder, or "simulator" (the ceiling and its control alone); a folder without a transformer
    has only its reconstructions scored. ``batch`` clips are generated at once and kept in ``out``, so that a stopped
    evaluation goes on. Returns what report.json holds. Raises ``ValueError`` for an unknown suite or model.
    """
    if suite not in SUITES:
        raise ValueError(f"suite {suite!r} is not one of {', '.join(SUITES)}")
    if num_clips is not None and num_clips < 2:
        raise ValueError(
            f"num_clips is {num_clips}; at least 2 are needed to shuffle prompts, 200 for narrow intervals"
        )
    if suite == "all":
        from ozora.evaluate.report import evaluate_all

        return evaluate_all(model, out, num_clips, batch, steps, guidance, device, console)
    if suite == "captions":
        from ozora.evaluate.captions import evaluate_captions

        return evaluate_captions(model, out, num_clips or NUM_CLIPS, console=console)
    if suite == "expansion":
        from ozora.evaluate.expansion import evaluate_expansion

        return evaluate_expansion(model, out, num_clips or NUM_CLIPS, batch, steps, guidance, console)
    loaded = None if model == "simulator" else load_folder(find_model(model))
    generator = Generator.load(model, device) if loaded is not None and loaded.transformer is not None else None
    console = console or Console()
    if suite in FROM_FRAMES:
        return _from_frames(suite, loaded, generator, out, num_clips, batch, steps, guidance, console)
    num_clips = NUM_CLIPS if num_clips is None else num_clips
    out.mkdir(parents=True, exist_ok=True)
    report: dict = {
        "model": model,
        "model_hash": loaded.hash if loaded else None,
        "steps": steps,
        "guidance": guidance,
        "num_clips": num_clips,
        "tables": {},
    }
    sections = [f"# Evaluation of {model}\n", _HOW_TO_READ]
    with Progress(console=console, transient=True) as progress:
        cases = make_cases(suite, num_clips, out / f"cases-{suite}.json")
        clips = None
        if generator is not None:
            folder = clips_folder(out, suite, generator, cases, batch, steps, guidance)
            clips = generated(generator, cases, batch, steps, guidance, folder)
        readings, distortion = _read_all(clips, cases, loaded, progress)
    entry: dict = {"title": TABLES[suite], "evaluation_set": cases_hash(cases), "subsets": {}}
    entry["distortion"] = {name: dataclasses.asdict(mean) for name, mean in distortion.items()}
    for subset, belongs in SUBSETS.items():
        rows = score_rows(readings, cases, [i for i, case in enumerate(cases) if belongs(case)])
        if rows:
            title = f"{TABLES[suite]}, {subset}"
            console.print(terminal_table(title, rows))
            sections.append(markdown_table(title, rows))
            entry["subsets"][subset] = plain_rows(rows)
    if distortion:
        sections.append(_distortion_line(distortion))
    report["tables"][suite] = entry
    write_text(out / "report.json", json.dumps(report, indent=1) + "\n")
    write_text(out / "report.md", "\n".join([*sections, _identity(report)]))
    return report


def clips_folder(
    out: Path,
    table: str,
    generator: Generator,
    cases: Sequence[Case],
    batch: int,
    steps: int | None,
    guidance: float | None,
) -> Path:
    """Where in ``out`` the clips are kept that a model drew of the cases of a table, with these settings."""
    asked = f"{generator.hash} {cases_hash(cases)} {steps} {guidance} {batch}"
    return out / f"clips-{table}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


def _from_frames(
    suite: str,
    loaded: Model | None,
    generator: Generator | None,
    out: Path,
    num_clips: int | None,
    batch: int,
    steps: int | None,
    guidance: float | None,
    console: Console,
) -> dict:
    """A suite with a file of its own; most need the simulator, so each is imported when it is asked for."""
    if suite == "autoencoder":
        from ozora.evaluate.compression import evaluate_compression

        return evaluate_compression(loaded, out, num_clips, console)
    if suite == "distribution":
        from ozora.evaluate.distribution import evaluate_distribution

        return evaluate_distribution(generator, out, num_clips, batch, steps, guidance, console)
    if suite == "sizes":
        from ozora.evaluate.sizes import evaluate_sizes as measure
    elif suite == "directions":
        from ozora.evaluate.directions import evaluate_directions as measure
    elif suite == "world":
        from ozora.evaluate.worlds import evaluate_world as measure
    else:
        from ozora.evaluate.pixels import evaluate_pixels as measure
    return measure(generator, out, num_clips, steps=steps, guidance=guidance, console=console)


def generated(
    generator: Generator, cases: Sequence[Case], batch: int, steps: int | None, guidance: float | None, folder: Path
) -> Iterator[Clip]:
    """The model's clips for the cases' prompts, sizes and seeds, in order, by way of ``folder``: a shard a batch."""
    for index, start in enumerate(range(0, len(cases), batch)):
        chosen = cases[start : start + batch]
        if index not in whole_shards(folder):
            clips = generator.render([request_of(case, steps, guidance) for case in chosen])
            write_shard(folder, index, clips, [_record(case, clip) for case, clip in zip(chosen, clips, strict=True)])
        reader = ShardReader(folder)
        yield from (reader.clip(i) for i in range(start, start + len(chosen)))


def request_of(case: Case, steps: int | None, guidance: float | None) -> Request:
    record = case.record
    seconds = record.num_frames / record.fps
    size = record.width, record.height
    return Request(case.prompt, size, seconds, record.fps, seed=case.seed, steps=steps, guidance=guidance)


def _record(case: Case, clip: Clip) -> Record:
    name, caption = f"{case.group}-{case.seed}", Caption("dense", case.prompt)
    return Record(name, clip.width, clip.height, clip.num_frames, clip.fps, (caption,), "generated", case.facts)


def score_rows(readings: dict[str, list[Reading]], cases: Sequence[Case], chosen: Sequence[int]) -> Rows:
    """For every source of clips a row of shares, and a row with prompts shuffled among the ``chosen`` cases."""
    rows: dict[str, dict[str, Share | None]] = {}
    if len(chosen) < 2:
        return rows
    groups = [cases[i].group for i in chosen]
    others = _others(groups)
    for source, read_of in readings.items():
        own = [compare(read_of[i], cases[i].facts) for i in chosen]
        rows[source] = {part: _share([getattr(score, part) for score in own], groups) for part in (*PARTS, "all")}
        if source in ("model", "simulator"):
            wrong = [compare(read_of[i], cases[chosen[other]].facts) for i, other in zip(chosen, others, strict=True)]
            rows[f"{source}, shuffled prompts"] = {
                part: _share([getattr(score, part) for score in wrong], groups) for part in (*PARTS, "all")
            }
    return rows


def _read_all(
    generator_clips: Iterator[Clip] | None, cases: Sequence[Case], loaded: Model | None, progress: Progress
) -> tuple[dict[str, list[Reading]], dict[str, Share]]:
    """Readings of every source's clips, and the mean distortion by the autoencoder of the simulator's."""
    readings: dict[str, list[Reading]] = {}
    if generator_clips is not None:
        clips = progress.track(generator_clips, total=len(cases), description="model")
        readings["model"] = [read(clip) for clip in clips]
    readings["simulator"], again = [], []
    distortion: dict[str, list[float]] = {"psnr": [], "psnr inside objects": [], "ssim": []}
    for case in progress.track(cases, description="simulator"):
        clip, mask = render_case(case)
        readings["simulator"].append(read(clip))
        if loaded is not None:
            reconstruction = loaded.decode(loaded.encode(clip), clip.fps)
            again.append(read(reconstruction))
            distortion["psnr"].append(psnr(reconstruction, clip))
            distortion["psnr inside objects"].append(psnr(reconstruction, clip, mask))
            distortion["ssim"].append(ssim(reconstruction, clip))
    if not again:
        return readings, {}
    means = {name: bootstrap(np.array([v for v in values if np.isfinite(v)])) for name, values in distortion.items()}
    return {**readings, "reconstruction": again}, means


def _others(groups: Sequence[str]) -> list[int]:
    """For every clip one of another prompt: a seeded permutation without fixed groups as far as there are any."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(groups))
    chosen = []
    for i, group in enumerate(groups):
        at = int(np.flatnonzero(order == i)[0])
        candidates = (int(order[(at + step) % len(order)]) for step in range(1, len(order) + 1))
        chosen.append(next((other for other in candidates if groups[other] != group), i))
    return chosen


def _share(values: Sequence[bool | None], groups: Sequence[str]) -> Share | None:
    judged = [i for i, value in enumerate(values) if value is not None]
    if not judged:
        return None
    return bootstrap(np.array([float(bool(values[i])) for i in judged]), [groups[i] for i in judged])


def _distortion_line(distortion: dict[str, Share]) -> str:
    means = [f"{name} {mean.value:.3g} ({mean.low:.3g}-{mean.high:.3g})" for name, mean in distortion.items()]
    return f"Reconstruction, mean over clips with its interval: {', '.join(means)}.\n"


def _identity(report: dict) -> str:
    lines = [f"Model {report['model']}, hash {report['model_hash']}.", ""]
    lines += [
        f"- {entry['title']}: evaluation set {entry['evaluation_set'][:16]}" for entry in report["tables"].values()
    ]
    return "\n".join(lines) + "\n"


_HOW_TO_READ = """Percent of clips that show what was asked for, read from frames alone, with 95 % bootstrap intervals.
*count*: as many objects as asked; *colors*, *shapes*: all of them, whichever has which; *binding*: every shape in its
own color; *event*, *camera*: what happens, how the camera moves; *all*: everything at once. *simulator* and
*reconstruction* are ceilings; *shuffled prompts* scores each clip against another one's prompt: what chance gives.
"""
