"""Prunes a dense training's checkpoint with Torch-Pruning and lets it go on.

Torch-Pruning chooses the units and knows no parameter target, so its channel ratio is
found by bisection; the weights are then cut as ours are, so that ESPnet trains and
decodes the result. ``python -m benchmarks.models.torch_prune``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
import yaml

from espnet_adaptive_dropout.bin.command import CommandLine, execute

BISECTIONS = 14
TOLERANCE = 1e-4


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--train_config", type=Path, required=True, help="config.yaml of the training")
    add("--checkpoint", type=Path, required=True, help="its checkpoint.pth")
    add("--run_config", type=Path, required=True, help="config it was started with")
    add("--target_reduction", type=float, required=True)
    add("--output_dir", type=Path, required=True, help="gets run1.yaml and train1")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, prune and write."""
    execute("torch_prune", get_parser, torch_prune, cmd)


def torch_prune(args: argparse.Namespace) -> None:
    """Write config and checkpoint of the narrow training.

    Raises:
        ValueError: torch-pruning is missing, the target is out of its reach, or the
            narrow encoder does not compute what the full one with zeros does.
    """
    from benchmarks.files import save_torch, write_json, write_text
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
    keep, ratio, reduction = choose(chooser, full, config, args.target_reduction)

    config.update(narrow_options(full, config, keep))
    narrow = build_model(load_task("asr"), config)
    where = sources(full, keep)
    moved = ts.moved(
        checkpoint,
        ts.parameter_shapes(full),
        ts.parameter_shapes(narrow),
        lambda state: ts.gather(state, where),
    )
    narrow.load_state_dict(moved["model"])
    difference = largest_difference(full, narrow, where, noise_inputs(full, 5.0))
    if not difference <= TOLERANCE:
        raise ValueError(f"the pruned encoder differs by {difference:.1e}")
    run_config = yaml.safe_load(args.run_config.read_text(encoding="utf-8"))
    run_config.update(narrow_options(full, run_config, keep))
    about = dict(ratio=ratio, reduction=reduction, largest_difference=difference)
    write_json(args.output_dir / "torch_pruning.json", about)
    save_torch(args.output_dir / "train1/checkpoint.pth", moved)
    write_text(
        args.output_dir / "run1.yaml", yaml.safe_dump(run_config, sort_keys=False)
    )
    print(about)


Keep = List[Dict[str, List[int]]]


def choose(chooser, full, config: Dict[str, Any], target: float) -> Tuple:
    """Find the channel ratio whose size comes nearest to the target.

    Returns:
        Kept unit indices of every block by kind, the ratio and the share removed.
    """
    best: Tuple = ()
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
    """The complement of what goes."""
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


def narrow_options(full, config: Dict[str, Any], keep: Keep) -> Dict[str, Any]:
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


def sources(full: torch.nn.Module, keep: Keep) -> Dict[str, torch.Tensor]:
    """Where the entries of the narrow tensors lie in the full ones, see
    ``training_state.sources``."""
    from espnet_adaptive_dropout.pruning.surgery import cut_weights
    from espnet_adaptive_dropout.units.table import UnitTable

    table = UnitTable(full.encoder)
    places = {
        name: torch.arange(tensor.numel()).view(tensor.shape)
        for name, tensor in full.state_dict().items()
    }
    return cut_weights(places, table, kept_row(table, keep), "encoder.")


def kept_row(table, keep: Keep) -> torch.Tensor:
    """What stays, as a row of the encoder's UnitTable, bool (units,)."""
    row = torch.ones(table.num_units, dtype=torch.bool)
    for group in table.groups:
        kind = "attention" if group.location in ("query", "value") else group.location
        if group.block is not None and kind in keep[group.block]:
            row[group.span] = False
            row[group.start + torch.tensor(keep[group.block][kind])] = True
    return row


def narrow_parameters(full: torch.nn.Module, keep: Keep) -> int:
    """Encoder parameters that stay."""
    names = {f"encoder.{name}" for name, _ in full.encoder.named_parameters()}
    return sum(w.numel() for name, w in sources(full, keep).items() if name in names)


@torch.no_grad()
def largest_difference(full, narrow, where, inputs) -> float:
    """Between the narrow encoder and the full one with zeros where it was cut."""
    from benchmarks.models import training_state as ts

    state = full.state_dict()
    zeroed = ts.scatter(narrow.state_dict(), where, state)
    full.load_state_dict(zeroed)
    expected = inputs.run(full.eval().encoder)[0]
    full.load_state_dict(state)
    return (inputs.run(narrow.eval().encoder)[0] - expected).abs().max().item()


if __name__ == "__main__":
    main()
