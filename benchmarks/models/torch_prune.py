"""Prunes a training in progress with Torch-Pruning.

Torch-Pruning chooses the units. It takes a channel ratio instead of a number of
parameters, so the ratio is found by bisection. The weights are cut as ours are, so
that ESPnet trains and decodes the result.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
import yaml

from espnet_adaptive_dropout.units.surgery import Cut, narrow_all

BISECTIONS = 14
TOLERANCE = 1e-4


def torch_prune(args: argparse.Namespace) -> None:
    """Prune a training with Torch-Pruning and let it go on.

    Raises:
        ValueError: torch-pruning is missing, cannot reach the target, or the narrow
            encoder computes something else than the full one with zeros.
    """
    from benchmarks.files import save_torch, write_json, write_yaml
    from benchmarks.models import training_state as ts
    from benchmarks.models.torch_units import UnitChooser
    from espnet_adaptive_dropout.experiments.experiment import (
        build_model,
        load_config,
        load_task,
    )
    from espnet_adaptive_dropout.experiments.features import noise_inputs

    config = load_config(args.train_config)
    checkpoint = ts.load_checkpoint(args.checkpoint)
    full = build_model(load_task("asr"), config)
    full.load_state_dict(checkpoint["model"])
    example = noise_inputs(full, 2.0)
    chooser = UnitChooser(full.encoder, (example.features, example.lengths))
    keep, ratio, reduction = choose(chooser, full, args.target_reduction)

    config.update(narrow_options(full, config, keep))
    narrow = build_model(load_task("asr"), config)
    cuts = cuts_of(full, keep)
    resized = ts.resized(
        checkpoint, full, narrow, lambda state: narrow_all(state, cuts)
    )
    narrow.load_state_dict(resized["model"])
    difference = largest_difference(full, narrow, cuts, noise_inputs(full, 5.0))
    if not difference <= TOLERANCE:
        raise ValueError(f"the pruned encoder differs by {difference:.1e}")
    run_config = yaml.safe_load(args.run_config.read_text(encoding="utf-8"))
    run_config.update(narrow_options(full, run_config, keep))
    about = dict(ratio=ratio, reduction=reduction, largest_difference=difference)
    write_json(args.output_dir / "torch_pruning.json", about)
    save_torch(args.output_dir / "train1/checkpoint.pth", resized)
    write_yaml(args.output_dir / "run1.yaml", run_config)
    print(about)


Keep = list[dict[str, list[int]]]


def choose(chooser, full, target: float) -> tuple:
    """Find the channel ratio whose size comes nearest to the target.

    Returns:
        Kept unit indices of every block by kind, the ratio and the share removed.
    """
    best: tuple = ()
    low, high = 0.0, 1.0
    total = sum(p.numel() for p in full.encoder.parameters())
    for _ in range(BISECTIONS):
        ratio = (low + high) / 2.0
        keep = kept_units(full, chooser.removed(ratio))
        reduction = 1.0 - narrow_parameters(full, keep) / total
        if not best or abs(reduction - target) < abs(best[2] - target):
            best = (keep, ratio, reduction)
        low, high = (ratio, high) if reduction < target else (low, ratio)
    if best[2] < target - 0.01:
        raise ValueError(
            f"Torch-Pruning can remove {best[2]:.1%} at most here, not {target:.1%}"
        )
    return best


def kept_units(full: torch.nn.Module, removed) -> Keep:
    """Indices of the units of each block that are not removed."""
    keep: Keep = []
    for index, layer in enumerate(full.encoder.encoders):
        sizes = dict(
            ffn_macaron=layer.feed_forward_macaron.w_1.weight.shape[0],
            ffn=layer.feed_forward.w_1.weight.shape[0],
            attention=layer.self_attn.linear_v.weight.shape[0],
            conv_channel=layer.conv_module.depthwise_conv.weight.shape[0],
        )
        gone = {kind: set(removed.get((index, kind), [])) for kind in sizes}
        keep.append(
            {
                kind: [unit for unit in range(size) if unit not in gone[kind]]
                for kind, size in sizes.items()
            }
        )
    return keep


def narrow_options(full, config: dict[str, Any], keep: Keep) -> dict[str, Any]:
    """``encoder`` and ``encoder_conf`` of the narrow model."""
    from espnet_adaptive_dropout.experiments.encoder_entry import COMPACT

    heads = full.encoder.encoders[0].self_attn.h
    size = config["encoder_conf"]["output_size"]
    widths = [
        dict(
            ffn=len(block["ffn"]),
            ffn_macaron=len(block["ffn_macaron"]),
            query=[len(block["attention"]) // heads] * heads,
            value=[len(block["attention"]) // heads] * heads,
            conv_input=f"0-{size - 1}",
            conv_channel=len(block["conv_channel"]),
        )
        for block in keep
    ]
    conf = dict(config["encoder_conf"], widths=widths)
    return dict(encoder=COMPACT, encoder_conf=conf)


def cuts_of(full: torch.nn.Module, keep: Keep) -> dict[str, Cut]:
    """See ``training_state.cuts``."""
    from benchmarks.models import training_state as ts
    from espnet_adaptive_dropout.units.table import UnitTable

    return ts.cuts(full, kept_mask(UnitTable(full.encoder), keep))


def kept_mask(table, keep: Keep) -> torch.Tensor:
    """The units that stay, in the order of the encoder's unit table, bool (units,)."""
    mask = torch.ones(table.num_units, dtype=torch.bool)
    for group in table.groups:
        kind = "attention" if group.location in ("query", "value") else group.location
        if group.block is not None and kind in keep[group.block]:
            mask[group.span] = False
            mask[group.start + torch.tensor(keep[group.block][kind])] = True
    return mask


def narrow_parameters(full: torch.nn.Module, keep: Keep) -> int:
    """Number of encoder parameters that stay."""
    names = {f"encoder.{name}" for name, _ in full.encoder.named_parameters()}
    state = narrow_all(full.state_dict(), cuts_of(full, keep))
    return sum(w.numel() for name, w in state.items() if name in names)


@torch.no_grad()
def largest_difference(full, narrow, cuts, inputs) -> float:
    """Largest output difference of the narrow encoder to the full one with zeros."""
    from benchmarks.models import training_state as ts

    state = full.state_dict()
    zeroed = ts.widen(narrow.state_dict(), cuts, state)
    full.load_state_dict(zeroed)
    expected = inputs.run(full.eval().encoder)[0]
    full.load_state_dict(state)
    return (inputs.run(narrow.eval().encoder)[0] - expected).abs().max().item()
