"""Small encoders and batches that several tests share."""

from __future__ import annotations

import inspect

import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder
from espnet_adaptive_dropout.encoders.compact import CompactConformerEncoder
from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.pruning.trained import set_masks
from espnet_adaptive_dropout.units.surgery import cut_weights
from espnet_adaptive_dropout.units.widths import compact_options

SMALL = dict(
    input_size=20,
    output_size=16,
    attention_heads=4,
    linear_units=24,
    num_blocks=2,
    cnn_module_kernel=3,
)

# Every combination is an encoder_conf on top of SMALL.
ARCHITECTURES = {
    "latest": dict(rel_pos_type="latest", macaron_style=True),
    "legacy": dict(rel_pos_type="legacy", macaron_style=True),
    "zero_triu": dict(rel_pos_type="latest", zero_triu=True),
    "absolute": dict(pos_enc_layer_type="abs_pos", selfattention_layer_type="selfattn"),
    "scaled_absolute": dict(
        pos_enc_layer_type="scaled_abs_pos", selfattention_layer_type="selfattn"
    ),
    "conv_positions": dict(
        pos_enc_layer_type="conv", selfattention_layer_type="selfattn"
    ),
    "no_conv_module": dict(use_cnn_module=False, macaron_style=True),
    "conv1d": dict(positionwise_layer_type="conv1d", macaron_style=True),
    "conv1d_linear": dict(
        positionwise_layer_type="conv1d-linear", positionwise_conv_kernel_size=5
    ),
    "post_norm": dict(normalize_before=False, rel_pos_type="latest"),
    "concat_after": dict(concat_after=True),
    "relu": dict(activation_type="relu"),
    "hardtanh": dict(activation_type="hardtanh"),
    "interctc": dict(interctc_layer_idx=[1]),
    "stochastic_depth": dict(stochastic_depth_rate=[0.1, 0.3]),
    "layer_drop": dict(layer_drop_rate=0.2),
    "linear_input": dict(input_layer="linear", rel_pos_type="latest"),
    "conv2d1": dict(input_layer="conv2d1", rel_pos_type="latest"),
    "conv2d2": dict(input_layer="conv2d2", rel_pos_type="latest"),
    "conv2d6": dict(input_layer="conv2d6", rel_pos_type="latest"),
    "conv2d8": dict(input_layer="conv2d8", rel_pos_type="latest"),
    "no_input_layer": dict(input_layer=None, input_size=16, rel_pos_type="latest"),
    "attention_dropout": dict(attention_dropout_rate=0.1, rel_pos_type="latest"),
}
if "use_sdpa" in inspect.signature(ConformerEncoder.__init__).parameters:
    ARCHITECTURES["sdpa_latest"] = dict(use_sdpa=True, rel_pos_type="latest")
    ARCHITECTURES["sdpa_legacy"] = dict(use_sdpa=True)
    ARCHITECTURES["sdpa_absolute"] = dict(
        use_sdpa=True,
        pos_enc_layer_type="abs_pos",
        selfattention_layer_type="selfattn",
    )


def options_of(architecture: str) -> dict:
    return {**SMALL, **ARCHITECTURES[architecture]}


def batch(input_size: int = 20, seed: int = 0):
    """Three utterances of different lengths, padded."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(3, 70, input_size, generator=generator)
    return features, torch.tensor([70, 51, 38])


def randomise(module: torch.nn.Module, seed: int = 0) -> None:
    """Random weights everywhere, biases, norms and running statistics too."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point() or "control" in name or "logits" in name:
            continue
        noise = torch.rand(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(noise + 0.5)
        elif ".norm" in name or "after_norm" in name:
            tensor.copy_(noise + 0.5 if name.endswith("weight") else noise - 0.5)
        else:
            tensor.copy_((noise - 0.5) * 0.6)


def adaptive(options: dict, **conf) -> AdaptiveDropoutConformerEncoder:
    """An encoder with gates, in evaluation mode, all units kept."""
    conf = dict(dict(control="schedule", total_steps=100), **conf)
    conf.setdefault("locations", "all")
    encoder = AdaptiveDropoutConformerEncoder(**options, adaptive_dropout_conf=conf)
    randomise(encoder)
    return encoder.eval()


def fold_weights(state: dict, table, keep: torch.Tensor, prefix: str) -> dict:
    """Weights of the stock, full-width model that computes the same as the cut one.

    Every slice that belongs to a removed unit is set to zero: an oracle that knows
    nothing of narrow layers. Arguments and keys are those of ``cut_weights``.
    """
    new = without_gates(state)
    for group in table.groups:
        kept = keep[group.span]
        for part in group.location_spec.slices:
            key = prefix + group.key(part.name)
            if key not in new or kept.all():
                continue
            tensor = new[key].clone()
            if part.name.startswith("pos_bias"):
                tensor.view(-1)[~kept] = 0.0
            else:
                tensor.index_fill_(part.axis, part.indices(tensor, ~kept), 0.0)
            new[key] = tensor
    return new


def stock_of(encoder, options: dict, keep=None) -> ConformerEncoder:
    """The stock encoder with the same weights, those of removed units zeroed."""
    if keep is None:
        keep = torch.ones(encoder.units.num_units, dtype=torch.bool)
    stock = ConformerEncoder(**options)
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    folded = fold_weights(state, encoder.units, keep, "encoder.")
    stock.load_state_dict({k[len("encoder.") :]: v for k, v in folded.items()})
    return stock.eval()


def compact_of(encoder, options: dict, keep) -> CompactConformerEncoder:
    """The compact encoder that keeps ``keep``."""
    options = {**options, **compact_options(encoder.units, keep)}
    compact = CompactConformerEncoder(**options)
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    cut = cut_weights(without_gates(state), encoder.units, keep, "encoder.")
    compact.load_state_dict({k[len("encoder.") :]: v for k, v in cut.items()})
    return compact.eval()


def masked(encoder, keep) -> AdaptiveDropoutConformerEncoder:
    """Decide the gates of ``encoder``."""
    set_masks(encoder.units, keep)
    return encoder


@torch.no_grad()
def difference(first, second, features, lengths) -> float:
    """Largest difference of the outputs over real frames; lengths must agree."""
    a, a_lengths, _ = first(features, lengths)
    b, b_lengths, _ = second(features, lengths)
    assert torch.equal(a_lengths, b_lengths)
    if isinstance(a, tuple):
        for (_, x), (_, y) in zip(a[1], b[1]):
            assert (x - y).abs().max() < 1e-5
        a, b = a[0], b[0]
    real = torch.arange(a.size(1))[None, :] < a_lengths[:, None]
    return (a - b)[real].abs().max().item()


def random_keep(units, share=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return units.without_unused(
        torch.rand(units.num_units, generator=generator) < share
    )


def emptied(units, *locations, block=0):
    """All kept but the named locations of one block."""
    keep = torch.ones(units.num_units, dtype=torch.bool)
    for group in units.groups:
        if group.block == block and group.location in locations:
            keep[group.span] = False
    return units.without_unused(keep)


def void_heads(units):
    """All kept but the values of head 0 and the queries of head 1, in every block."""
    keep = torch.ones(units.num_units, dtype=torch.bool)
    for group in units.groups:
        if group.location == "value":
            keep[group.start : group.start + 4] = False
        if group.location == "query":
            keep[group.start + 4 : group.start + 8] = False
    return units.without_unused(keep)
