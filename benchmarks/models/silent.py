"""Counts channels of the input layer that never fire.

A channel whose ReLU is zero in all frames and frequencies of all utterances can be
removed without any loss. ``python -m benchmarks.models.silent``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.models.score import batches, open_model
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.tables import read_table


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--train_config", type=Path, required=True, help="config.yaml of the model")
    add("--model_file", type=Path, required=True)
    add("--data", type=Path, default=Path("dump/raw/dev"), help="data directory")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and print a line for each layer."""
    execute("silent", get_parser, print_silent, cmd)


def print_silent(args: argparse.Namespace) -> None:
    """Print how many channels never fire.

    Raises:
        ValueError: the model or the data cannot be read, or there is no such layer.
    """
    task, config, model = open_model(args.train_config, args.model_file)
    utterances = len(read_table(args.data / "text"))
    speech = (batch for _, batch in batches(task, config, args.data, size=1))
    for layer, fires in firing_channels(model, speech).items():
        print(
            f"{layer}: {int((~fires).sum())} of {len(fires)} channels never fire in "
            f"{utterances} utterances"
        )


def firing_channels(
    model: torch.nn.Module, batches: Iterable[dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Which channels of the two convolutions of the input layer ever fire.

    Args:
        model: an ESPnet model, in evaluation mode.
        batches: speech and speech_lengths, without padding.

    Returns:
        ``subsampling_1`` and ``subsampling_2``: bool (channels,).

    Raises:
        ValueError: the encoder's input layer is of another kind.
    """
    from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
    from espnet_adaptive_dropout.modules.subsampling import has_two_convolutions

    embed = main_encoder(model).embed
    if not has_two_convolutions(embed):
        raise ValueError("the encoder's input layer does not have two convolutions")
    fires: dict[str, torch.Tensor] = {}
    hooks: list[torch.utils.hooks.RemovableHandle] = []
    for name, activation in (
        ("subsampling_1", embed.conv[1]),
        ("subsampling_2", embed.conv[3]),
    ):

        def note(module, inputs, output, name=name):
            now = (output > 0).any(dim=0).flatten(1).any(dim=1)
            fires[name] = fires.get(name, torch.zeros_like(now)) | now

        hooks.append(activation.register_forward_hook(note))
    try:
        with torch.inference_mode():
            for batch in batches:
                model.encode(batch["speech"], batch["speech_lengths"])
    finally:
        for hook in hooks:
            hook.remove()
    return fires


if __name__ == "__main__":
    main()
