"""DALL-E 3's experiment in miniature: one transformer on short, on captioner-written and on true dense captions.

    python recipes/captions.py RUNS data --data DATA      (three descriptions of the same clips and pictures)
    python recipes/captions.py RUNS short                 (train on the short ones)
    python recipes/captions.py RUNS written               (on the captioner's: 19 in 20, the rest short)
    python recipes/captions.py RUNS dense                 (on the simulator's dense ones)
    python recipes/captions.py RUNS report                (RUNS/README.md, captions.json and strips)

The three have the same network, first weights, examples in the same order, noise and number of rows; every clip and
picture has one caption, and that alone differs. *short* names the objects (and what happens, of a clip), as a user
would. *dense* adds sizes, places, floor and sky (the camera and seconds). *written* is what the captioner of
``--model`` says. Each model is then asked for scenes that none of them saw, in short and in dense words, and clips also
in short words that the shipped expander puts in full. Scores can be compared between the three, their losses cannot.

DATA holds the clips of ``recipes/mini.py``, of which the first are taken; without it they are simulated. Hardware: one
core. Time: 4 minutes for the data, 7 to 9 a run of 1000 rows, 12 for the report; called again, each step goes on. The
runs share a cache, so they follow one another. Expected: asked in short words, colours right in 36, 34 and 40 % of 400
pictures and 48, 38 and 50 % of 100 clips; shapes, events and cameras near chance.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from tyro.conf import Positional

from ozora.clip import Clip
from ozora.data.dataset import MixtureConfig
from ozora.data.record import Caption, Record
from ozora.data.retell import describe_anew, retell
from ozora.data.shards import ShardReader, whole_shards, write_shard
from ozora.evaluate.alignment import PARTS, Score, compare, read
from ozora.evaluate.captions import PARTS as TOLD
from ozora.evaluate.captions import caption_rows
from ozora.evaluate.cases import Case, cases_hash, make_cases
from ozora.evaluate.expansion import expanded_cases
from ozora.evaluate.parts import plain_rows, write_text
from ozora.evaluate.suite import clips_folder, generated, score_rows
from ozora.evaluate.tables import Share, bootstrap, markdown_table
from ozora.generate.folder import find_model, load_folder
from ozora.generate.generator import Generator
from ozora.generate.watch import load_captioner, load_expander
from ozora.model.transformer import TransformerConfig
from ozora.terminal import progress_bar
from ozora.train.config import TrainConfig, TransformerFit, WorldConfig
from ozora.train.held_out import build_held_out
from ozora.train.metrics import sample_strip
from ozora.train.run import build_world, load_recipe, train
from ozora.world.wording import SHAPE_NOUNS, Pen, a, listed

ARMS = ("short", "written", "dense")
PAIRS = (("written", "short"), ("dense", "short"), ("dense", "written"))
WORDS = {"clips": ("short", "dense", "in full"), "pictures": ("short", "dense")}
OWN_WORDS = {"short": "short", "written": "dense", "dense": "dense"}
"""What words a model is at home in: those of its captions."""
TABLES = {"clips": "Clips of new scenes", "pictures": "Pictures of new scenes"}
MAX_TOLD = 1000
SHARD = 128
BATCH = 10
SHOWN = 8


def mini() -> TrainConfig:
    """The recipe of the model that ships."""
    return load_recipe(str(Path(__file__).with_name("mini.py")))


def fit(name: str, rows: int, threads: int | None = None) -> TransformerFit:
    """The shipped recipe's transformer, smaller and from nothing; nothing is given, and each clip is shown whole."""
    whole = mini().fits[-1]
    assert isinstance(whole, TransformerFit)
    return replace(
        whole,
        name=name,
        autoencoder="mini",
        run=replace(whole.run, num_steps=rows, num_threads=threads, sample_seconds=0.0),
        network=TransformerConfig(width=128, num_blocks=6, num_heads=4),
        optimizer=replace(whole.optimizer, learning_rate=1.5e-3, warm_up_steps=50, ema_decay=0.99),
        mixture=MixtureConfig({"short": 1.0, "dense": 1.0}, pictures=0.0, mid_clip=0.0, two_spans=0.0, masks=0.0),
        alignment=None,
        init_from=None,
        card=f"# {name}\n\n{rows} rows: see recipes/captions.py. Not a model to use.\n",
    )


def in_short(record: Record) -> str:
    """A short caption: the record's own, or a list of what a picture shows."""
    own = record.text("short")
    if own is None:
        assert record.facts is not None
        pen = Pen(np.random.default_rng(list(record.id.encode())))
        own = listed([a(f"{item.color} {pen.pick(SHAPE_NOUNS[item.shape])}") for item in record.facts.objects])
    return own


def in_full(record: Record) -> str:
    """The simulator's dense caption, or what it says of a picture."""
    text = record.text("still" if record.num_frames == 1 else "dense")
    assert text is not None
    return text


def choose(out: Path, source: Path | None, num_clips: int, num_pictures: int) -> None:
    """Put the first clips and pictures of ``source`` into ``out``, or simulate as many."""
    if source is None:
        world = mini().world
        assert world is not None
        lengths = ((17, float(num_clips)), (1, float(num_pictures)))
        mix = replace(world.mix, num_frames=tuple(share for share in lengths if share[1]))
        build_world(WorldConfig(num_clips + num_pictures, mix, world.seed), out)
        return
    reader = ShardReader(source)
    pictures, clips = [], []
    for index in reader.indices("train"):
        if reader.record(index).facts is not None:  # scenes that turn into others have none
            (pictures if reader.record(index).num_frames == 1 else clips).append(index)
    chosen = [*clips[:num_clips], *pictures[:num_pictures]]
    there = whole_shards(out)
    for shard, start in enumerate(range(0, len(chosen), SHARD)):
        if shard not in there:
            part = chosen[start : start + SHARD]
            write_shard(out, shard, [reader.clip(i) for i in part], [reader.record(i) for i in part])


def describe(out: Path, model: str) -> str:
    """Describe what is in ``out/data`` in three ways; returns Markdown of how much of the truth each tells."""
    for name, style, words in (("short", "short", in_short), ("dense", "dense", in_full)):

        def told(reader: ShardReader, indices: range, style: str = style, words=words) -> list[Record]:
            records = (reader.record(index) for index in indices)
            return [replace(record, captions=(Caption(style, words(record)),)) for record in records]

        describe_anew(out / "data", out / f"data-{name}", told)
    folder = find_model(model)
    with progress_bar() as progress:
        captioner = load_captioner(folder, load_folder(folder))
        retell(out / "data-short", out / "data-written", captioner, progress=progress)
    return what_is_told(out)


def what_is_told(out: Path) -> str:
    """Markdown: how well each arm's captions agree with the truth of what they describe."""
    rows: dict[str, Mapping[str, Share | None]] = {}
    for arm in ARMS:
        records = ShardReader(out / f"data-{arm}").records()
        for table in TABLES:
            chosen = [record for record in records if (record.num_frames == 1) == (table == "pictures")][:MAX_TOLD]
            facts = [record.facts for record in chosen if record.facts is not None]
            if facts:
                told = caption_rows({arm: [record.captions[0].text for record in chosen]}, facts)[arm]
                rows[f"{arm}, {table}"] = {part: told[part] for part in TOLD if table == "clips" or part in TOLD[:3]}
    return markdown_table("What the captions tell of what is learned from (F1; the rest: right or wrong)", rows)


def cases_of(out: Path, table: str, words: str, num_clips: int) -> list[Case]:
    """Scenes that no run saw, asked for in short words, in dense ones, or in short ones that the expander puts in full.

    Clips are those of the frozen table "new"; pictures are simulated into ``out/held-out``. Short words leave the
    camera open, so it is not judged.
    """
    if table == "clips":
        cases = make_cases("new", num_clips)
    else:
        world = mini().world
        assert world is not None
        pictures = build_held_out(out / "held-out", replace(world.mix, num_frames=((1, 1.0),)), num_clips, workers=1)
        records = pictures.records()[:num_clips]
        cases = [Case(one.id, "", seed, one.facts, one) for seed, one in enumerate(records) if one.facts is not None]
    if words == "dense":
        return [replace(case, prompt=in_full(case.record)) for case in cases]
    cases = [replace(case, prompt=in_short(case.record), facts=replace(case.facts, camera="")) for case in cases]
    return expanded_cases(cases, [load_expander(find_model("mini"))]) if words == "in full" else cases


def differences(scores: Mapping[tuple[str, str], Sequence[Score]]) -> dict[str, dict[str, Share | None]]:
    """Scene by scene: one arm less another, in the same words and each in its own; and one arm in two wordings."""
    rows: dict[str, dict[str, Share | None]] = {}
    for one, two in PAIRS:
        ways = {f"asked {words}": (words, words) for _, words in scores}
        ways["each asked in its own words"] = OWN_WORDS[one], OWN_WORDS[two]
        for way, words in ways.items():
            ones, twos = scores[one, words[0]], scores[two, words[1]]
            rows[f"{one} - {two}, {way}"] = {part: _difference(ones, twos, part) for part in (*PARTS, "all")}
    for arm, words in scores:
        if words != "short":
            ones, twos = scores[arm, words], scores[arm, "short"]
            rows[f"{arm}, asked {words} - asked short"] = {part: _difference(ones, twos, part) for part in PARTS}
    return rows


def _difference(ones: Sequence[Score], twos: Sequence[Score], part: str) -> Share | None:
    pairs = [(getattr(one, part), getattr(two, part)) for one, two in zip(ones, twos, strict=True)]
    judged = [float(one) - float(two) for one, two in pairs if one is not None and two is not None]
    return bootstrap(np.array(judged)) if judged else None


def difference_table(title: str, rows: Mapping[str, Mapping[str, Share | None]]) -> str:
    """Markdown: points with their interval, bold where it does not hold 0."""
    columns = [part for part in (*PARTS, "all") if any(row.get(part) for row in rows.values())]
    lines = [f"### {title}", "", "| points | " + " | ".join(columns) + " |", "|---" + "|--:" * len(columns) + "|"]
    for name, row in rows.items():
        cells = []
        for share in (row.get(part) for part in columns):
            cell = f"{100 * share.value:+.0f} ({100 * share.low:+.0f} to {100 * share.high:+.0f})" if share else ""
            cells.append(f"**{cell}**" if share and share.low * share.high > 0 else cell)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def report(out: Path, num_clips: int, num_pictures: int) -> str:
    """Score the three models in all words; writes the page, its numbers and a strip of each table."""
    sections, plain = [what_is_told(out)], {}
    generators = {arm: Generator.load(out / arm) for arm in ARMS}
    numbers = {"clips": num_clips, "pictures": num_pictures}
    for table, number in ((table, number) for table, number in numbers.items() if number):
        rows: dict[str, Mapping[str, Share | None]] = {}
        scores: dict[tuple[str, str], list[Score]] = {}
        shown = []
        for words in WORDS[table]:
            cases = cases_of(out, table, words, number)
            for arm, generator in generators.items():
                folder = clips_folder(
                    out / "clips", f"{arm}-{table}-{words.split()[-1]}", generator, cases, BATCH, None, None
                )
                clips = list(generated(generator, cases, BATCH, None, None, folder))
                readings = [read(clip) for clip in clips]
                scores[arm, words] = [compare(one, case.facts) for one, case in zip(readings, cases, strict=True)]
                own = score_rows({"model": readings}, cases, range(len(cases)))
                rows[f"{arm} captions, asked {words}"] = _judged(own["model"], table)
                if words == OWN_WORDS[arm]:
                    rows[f"{arm} captions, shuffled prompts"] = _judged(own["model, shuffled prompts"], table)
                    shown.append(sample_strip(clips[:SHOWN], 4 if table == "clips" else 1))
        apart = differences(scores)
        Clip(np.concatenate(shown, axis=1)[None], 1.0).save(out / f"strip-{table}.png")
        sections += [f"![three models, {table}](strip-{table}.png)\n", markdown_table(TABLES[table], rows)]
        sections.append(difference_table(f"{TABLES[table]}: differences", apart))
        entry = {"evaluation_set": cases_hash(cases_of(out, table, "dense", number)), "rows": plain_rows(rows)}
        plain[table] = {**entry, "differences": plain_rows(apart)}
    models = {arm: generator.hash for arm, generator in generators.items()}
    write_text(out / "captions.json", json.dumps({"models": models, "tables": plain}, indent=1) + "\n")
    text = "\n".join([PAGE, *sections])
    write_text(out / "README.md", text)
    return text


def _judged(row: Mapping[str, Share | None], table: str) -> dict[str, Share | None]:
    """Of a picture neither event nor camera can be told."""
    return {part: share for part, share in row.items() if table == "clips" or part not in ("event", "camera")}


PAGE = """# Short, written or dense captions

The experiment of DALL-E 3 in miniature (`recipes/captions.py`): one small transformer, trained three times from nothing
on the same clips and pictures, in the same order, with the same noise, for as many rows; the captions alone differ.
Percent of scenes that show what was asked for, read from frames alone, with 95 % bootstrap intervals over scenes;
differences are paired, scene by scene. One run an arm: intervals tell how many scenes were asked for, not what another
first draw of weights would have done.

In the strips a row is a scene. From left to right: short captions, asked in short words; written, asked in dense ones;
dense, asked in dense ones; of a clip four frames each.
"""


def main(
    out: Positional[Path],
    do: Positional[Literal["data", "short", "written", "dense", "report"]],
    data: Path | None = None,
    model: str = "mini",
    learned: tuple[int, int] = (1024, 3072),
    asked: tuple[int, int] = (100, 400),
    rows: int = 1000,
    threads: int | None = None,
) -> None:
    """One step of the experiment in folder ``out``; ``learned`` and ``asked`` count clips and pictures."""
    if do == "data":
        choose(out / "data", data, *learned)
        print(describe(out, model))
    elif do == "report":
        print(report(out, *asked))
    else:
        train(TrainConfig(do, (fit(do, rows, threads),), data=str(out / f"data-{do}")), resume=True, out=out)


if __name__ == "__main__":
    tyro.cli(main)
