"""How much each location of a trained model matters: ``benchmarks.models.sensitivity``.

Shares of the units of one location, the least important by Taylor, are masked without
any training, and the model reads labelled speech. Prints a Markdown table of its
accuracy, that is the share of tokens that the decoder predicts from those before, and
of the decoder's loss; of a model without a decoder, of its loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.markdown import table_lines

_ALL = "all of them"


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet_adaptive_dropout -m benchmarks.models.sensitivity",
        description=__doc__.splitlines()[0],
    )
    add = parser.add_argument
    add("--train_config", type=Path, required=True)
    add("--model_file", type=Path, required=True)
    add("--of", choices=("encoder", "decoder"), default="decoder")
    add("--shares", type=float, nargs="+", default=[0.25, 0.5, 0.75])
    add("--train", default="dump/raw/train", help="data to rank on")
    add("--valid", default="dump/raw/dev", help="data to read")
    add("--batches", type=int, default=64, help="batches of 8 to rank on")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, measure and print."""
    execute("sensitivity", get_parser, measure, cmd)


def measure(args: argparse.Namespace) -> None:
    """Measure and print the table.

    Raises:
        ValueError: the model or the data cannot be read.
    """
    for line in table_lines(
        ["location", "units masked", "removed", "accuracy", "loss"], list(_rows(args))
    ):
        print(line)


def _rows(args: argparse.Namespace) -> Iterator[list[str]]:
    import torch

    from espnet_adaptive_dropout.pruning.open_trained import open_trained
    from espnet_adaptive_dropout.pruning.options import PruneOptions
    from espnet_adaptive_dropout.pruning.prune import rank
    from espnet_adaptive_dropout.pruning.trained import set_masks

    trained = open_trained(args.train_config, args.model_file, of=args.of)
    data = [",".join(triplet) for triplet in _triplets(args.train)]
    conf = dict(locations="all", data=data, batches=args.batches)
    scores = rank(trained, PruneOptions(criterion="taylor", criterion_conf=conf)).scores
    table = trained.table
    locations = dict.fromkeys(group.location for group in table.groups)
    everything = torch.ones(table.num_units, dtype=torch.bool)
    cases = [("none", 0.0)]
    cases += [(name, share) for share in args.shares for name in (*locations, _ALL)]
    for name, share in cases:
        keep = everything.clone()
        for group in table.groups:
            if name in (group.location, _ALL):
                order = scores[group.span].argsort()
                keep[group.start + order[: int(share * len(order))]] = False
        keep = table.without_unused(keep)
        set_masks(table, keep)
        accuracy, loss = _read(trained, args.valid)
        removed = f"{table.reduction(keep):.1%}"
        yield [name, f"{share:.0%}", removed, f"{accuracy:.1%}", f"{loss:.2f}"]


def _triplets(directory: str) -> list[tuple[str, str, str]]:
    return [
        (f"{directory}/wav.scp", "speech", "sound"),
        (f"{directory}/text", "text", "text"),
    ]


def _read(trained: Any, directory: str) -> tuple[float, float]:
    """Accuracy and loss of the masked model, means over the utterances."""
    import torch

    from espnet_adaptive_dropout.experiments.data import labelled_batches

    utterances, accuracy, loss = 0, 0.0, 0.0
    source = _triplets(directory)
    for names, batch in labelled_batches(trained.task, trained.config, source, 32):
        with torch.no_grad():
            total, stats, _ = trained.model(**batch)
        found = stats.get("loss_att")
        utterances += len(names)
        accuracy += float(stats.get("acc") or float("nan")) * len(names)
        loss += float(total if found is None else found) * len(names)
    return accuracy / utterances, loss / utterances


if __name__ == "__main__":
    main()
