"""How are captioner and expander fitted? One loop over batches of texts and what they are written from."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ozora.data.latents import encode_clips, weights_hash
from ozora.data.shards import ShardReader
from ozora.data.writing import IGNORED, CaptionExamples, Examples, PromptExamples, WritingBatch
from ozora.generate.folder import Model, find_model, load_folder
from ozora.language.encoder import load_text_encoder
from ozora.language.stored import StoredConfig, StoredWriter, load_writer, save_writer
from ozora.language.vocabulary import Vocabulary, learn_vocabulary
from ozora.language.writer import Writer, WriterConfig
from ozora.train.alignment import AlignedLatents, make_head, make_motion, make_truth
from ozora.train.checkpoint import Interruption, latest_checkpoint, load_checkpoint, save_checkpoint
from ozora.train.config import WriterFit
from ozora.train.metrics import Metrics
from ozora.train.optimizer import Ema, apply_gradients, make_optimizers
from ozora.train.timer import Every


def writing_loss(writer: Writer, batch: WritingBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy of the tokens that are to be written, in nats."""
    return losses(writer, batch)[0]


def losses(
    writer: Writer, batch: WritingBatch, head: nn.Module | None = None, block: int = 1
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """``writing_loss``, and how far the ``head`` is from what the maps say, reading the prefix after block ``block``:
    the mean squared error over real vectors, 0 without a head."""
    states, memory = writer.watch(batch.prefix)
    logits, _ = writer.extend(batch.tokens, memory)
    written = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)
    if head is None:
        return written, written.new_zeros(())
    told = head(states[block - 1]).float()
    return written, (told - batch.maps)[batch.prefix.real].square().mean()


def fit_writer(fit: WriterFit, data: Path, out: Path, resume: bool = False) -> Path:
    """Fit, and write the folder ``out/fit.name``; returns it. Checkpoints and logs lie in ``out/fit.name-run``.

    With ``resume`` the newest checkpoint is gone on from; ``run.num_steps`` may have been changed since.
    """
    # config and devices
    run, folder, work = fit.run, out / fit.name, out / f"{fit.name}-run"
    device = torch.device(run.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if run.num_threads:
        torch.set_num_threads(run.num_threads)
    torch.manual_seed(run.seed)

    # data
    reader = ShardReader(data)
    start = None if fit.init_from is None else load_writer(find_model(fit.init_from) / fit.role, fit.role)
    vocabulary = open_vocabulary(fit, reader, work) if start is None else start.vocabulary
    examples, config = open_examples(fit, reader, vocabulary, out, device)

    # model
    writer, head = Writer(config.writer).to(device).train(), None
    if start is not None:
        _go_on(writer, start)
    if fit.alignment:
        map_width = examples.batch(0, 1).maps.shape[2]
        head = make_head(fit.alignment, config.writer.num_blocks, config.writer.width, map_width).to(device)
    optimizers = make_optimizers(writer, fit.optimizer, head)
    ema = Ema(writer, fit.optimizer.ema_decay)

    # resume
    step = 0
    checkpoint = latest_checkpoint(work) if resume else None
    if checkpoint is not None:
        state = load_checkpoint(checkpoint)
        step = state["step"]
        writer.load_state_dict(state["network"])
        ema.load_state_dict(state["ema"])
        if head:
            head.load_state_dict(state["head"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def save() -> None:
        states = [optimizer.state_dict() for optimizer in optimizers]
        state = {"network": writer.state_dict(), "ema": ema.state_dict(), "optimizers": states}
        if head:
            state["head"] = head.state_dict()
        save_checkpoint(work, step, state, run.num_kept)

    # loop
    time_to_save, total, seen, count = Every(run.save_seconds), 0.0, 0.0, 0
    weight, block = (fit.alignment.weight, fit.alignment.block) if fit.alignment else (0.0, 1)
    with Metrics(work, fit.name, run.num_steps, step, run.print_seconds) as metrics, Interruption() as interruption:
        size = sum(p.numel() for p in writer.parameters()) / 1e6
        metrics.say(f"{fit.name}: {size:.1f} M parameters on {device}, {len(examples)} examples")
        while step < run.num_steps and not interruption.asked:
            with torch.autocast(device.type, torch.bfloat16, enabled=run.autocast):
                batch = examples.batch(step, fit.batch_size).to(device)
                loss, distance = losses(writer, batch, head, block)
            (loss + weight * distance).backward()
            norm = apply_gradients(writer, optimizers, fit.optimizer, step, run.num_steps)
            ema.update(writer)
            step, total, seen, count = step + 1, total + loss.item(), seen + distance.item(), count + 1
            if step % run.log_steps == 0 or step == run.num_steps:
                metrics.log(step, {"loss": total / count, "maps": seen / count, "norm": norm.item()})
                total, seen, count = 0.0, 0.0, 0
            if time_to_save():
                save()
        save()
        if interruption.asked:
            raise KeyboardInterrupt(f"stopped after step {step} of {run.num_steps}; --resume goes on from there")

    # export
    writer.load_state_dict(ema.weights)
    card = fit.card or f"# {fit.name}\n\nA {fit.role} fitted by Ozora in {step} steps on {len(examples)} clips.\n"
    return save_writer(folder, config, writer.cpu().eval(), vocabulary, card)


def _go_on(writer: Writer, start: StoredWriter) -> None:
    if start.config.writer != writer.config:
        raise ValueError(f"init_from holds a writer of {start.config.writer}, but this fit is of {writer.config}")
    writer.load_state_dict(start.writer.state_dict())


def open_vocabulary(fit: WriterFit, reader: ShardReader, work: Path) -> Vocabulary:
    """The run's vocabulary: learned from the captions at its first start, read again when it is resumed."""
    file = work / "vocabulary.json"
    if file.is_file():
        return Vocabulary.from_json(file.read_text(encoding="utf-8"))
    texts = [caption.text for record in reader.records(fit.split) for caption in record.captions]
    vocabulary = learn_vocabulary(texts, fit.num_pieces)
    work.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(vocabulary.to_json(), encoding="utf-8")
    part.replace(file)
    return vocabulary


def open_examples(
    fit: WriterFit, reader: ShardReader, vocabulary: Vocabulary, out: Path, device: torch.device
) -> tuple[Examples, StoredConfig]:
    """What is learned from, and what the writer's folder will say of it."""
    if fit.role == "expander":
        encoder = load_text_encoder(fit.text_encoder, device)
        network = _sized(fit.network, vocabulary, encoder.width)
        records = reader.records(fit.split)
        examples = PromptExamples(records, encoder, vocabulary, network.max_tokens, fit.run.seed)
        return examples, StoredConfig("expander", network, encoder.hash)
    model = _autoencoder(fit, out)
    latents = encode_clips(
        reader,
        out / "cache",
        model.autoencoder,
        model.config.latent_mean,
        model.config.latent_std,
        split=fit.split,
        device=device,
    )
    shown_latents = latents
    if fit.alignment:
        maps = make_truth(reader, out / "cache", model.geometry, fit.split)
        motion = make_motion(reader, out / "cache", model.geometry, fit.split)
        shown_latents = AlignedLatents(latents, maps, motion)
    examples = CaptionExamples(reader, shown_latents, model.geometry, vocabulary, fit.styles, fit.noise, fit.run.seed)
    network = _sized(fit.network, vocabulary, examples.batch(0, 1).prefix.vectors.shape[2])
    shown = [reader.record(index) for index in shown_latents.indices]
    rates = Counter(record.fps for record in shown)
    config = StoredConfig(
        "captioner",
        network,
        weights_hash(model.autoencoder),
        fps=rates.most_common(1)[0][0],
        max_frames=max(record.num_frames for record in shown),
        max_area=max(record.width * record.height for record in shown),
    )
    model.autoencoder.cpu()
    return examples, config


def _autoencoder(fit: WriterFit, out: Path) -> Model:
    return load_folder(out / fit.autoencoder if (out / fit.autoencoder).is_dir() else find_model(fit.autoencoder))


def _sized(network: WriterConfig, vocabulary: Vocabulary, prefix_width: int) -> WriterConfig:
    return replace(network, vocabulary=vocabulary.size, prefix_width=prefix_width)
