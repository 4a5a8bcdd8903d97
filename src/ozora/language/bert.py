"""How does BERT turn word pieces into states? Its forward pass, as plain functions on a dictionary of weights.

Only what an encoder of texts needs: no masks, for the texts of a batch are equally long, no dropout, no pooling. To
import the library that the weights come from takes longer than to draw a clip; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class BertConfig:
    """What the weights do not say of themselves."""

    num_heads: int
    num_layers: int
    epsilon: float = 1e-12


def weight_names(config: BertConfig) -> list[str]:
    """The tensors that ``bert_states`` reads, by their names in Hugging Face's files."""
    linear = [f"{part}.dense" for part in ("attention.output", "intermediate", "output")]
    linear += [f"attention.self.{part}" for part in ("query", "key", "value")]
    parts = [*linear, "attention.output.LayerNorm", "output.LayerNorm"]
    layers = [f"encoder.layer.{i}.{part}" for i in range(config.num_layers) for part in parts]
    tables = [f"embeddings.{table}_embeddings.weight" for table in ("word", "position", "token_type")]
    return [*tables, *(f"{part}.{kind}" for part in ("embeddings.LayerNorm", *layers) for kind in ("weight", "bias"))]


def bert_states(weights: Mapping[str, Tensor], config: BertConfig, ids: Int[Tensor, "b s"]) -> Float[Tensor, "b s e"]:
    """The last hidden states (Devlin et al. 2018; the encoder of Vaswani et al. 2017, norms after the sums)."""

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], config.epsilon)

    tables = (weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "token_type", "position"))
    words, types, places = tables
    x = norm(F.embedding(ids, words) + types[0] + places[: ids.shape[1]], "embeddings.LayerNorm")
    for layer in (f"encoder.layer.{i}" for i in range(config.num_layers)):
        parts = (linear(x, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        q, k, v = (rearrange(part, "b s (heads d) -> b heads s d", heads=config.num_heads) for part in parts)
        seen = rearrange(F.scaled_dot_product_attention(q, k, v), "b heads s d -> b s (heads d)")
        x = norm(linear(seen, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
        inner = F.gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
    return x
