"""Cut one checkpoint to many sizes: ``python -m espnet_adaptive_dropout.bin.sweep``.

Every size becomes a complete experiment DIR/r20, DIR/r30, ... as ``bin.prune`` writes
it, and is scored: by ESPnet's own validation pass, and, with ``--inference_config``,
by decoding. sweep.json and sweep.md compare them, and the model as trained. The
command can be run again after an interruption, or with more sizes: what was made
from the same checkpoint and options is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_adaptive_dropout.bin.command import (
    CommandLine,
    execute,
    new_parser,
    options_from,
)
from espnet_adaptive_dropout.bin.cut_options import (
    add_cut_options,
    add_model_options,
    check_target,
    cut_options,
)

if TYPE_CHECKING:
    from espnet_adaptive_dropout.pruning.sweep.decoding import TestSet

EXAMPLE = """\
adaprune sweep --train_config exp/asr_x/config.yaml \\
    --model_file exp/asr_x/valid.final_acc.ave.pth \\
    --output_dir exp/asr_x_sweep --target_reduction 0.2 0.4 0.54 \\
    --inference_config conf/decode_asr.yaml --test_sets dump/raw/test_clean"""


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(
        "Cut one checkpoint to many sizes and score each.",
        EXAMPLE,
    )
    add = parser.add_argument
    add_model_options(parser)
    add("--output_dir", type=Path, required=True, help="for a directory of each size")
    add(
        "--target_reduction",
        type=float,
        nargs="+",
        required=True,
        help="shares of the encoder's --cost to remove",
    )
    add_cut_options(parser)
    add(
        "--data",
        action="append",
        help="PATH,NAME,TYPE of validation speech and, given again, of its text; "
        "default: the training's",
    )
    add("--skip_validation", action="store_true", help="no validation pass")
    add("--batch_size", type=int, default=8, help="batch size of the validation")
    add("--inference_config", type=Path, help="decode as this ESPnet config says")
    add(
        "--test_sets",
        type=Path,
        nargs="+",
        default=[],
        help="directories with wav.scp and text to decode; default: --data",
    )
    add("--references", type=Path, help="text of --data to score against")
    add("--nj", type=int, default=1, help="parallel decoding jobs")
    add("--ngpu", type=int, default=0, choices=(0, 1), help="score on the GPU")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, cut, score and tabulate."""
    execute("sweep", get_parser, run, cmd)


def run(args: argparse.Namespace) -> None:
    """Run :func:`sweep.sweep.sweep`.

    Raises:
        ValueError, OSError: see there.
    """
    from espnet_adaptive_dropout.pruning.sweep.decoding import Decoder
    from espnet_adaptive_dropout.pruning.sweep.sweep import SweepOptions, sweep

    for target in args.target_reduction:
        check_target(target)
    if args.batch_size < 1:
        raise ValueError(f"--batch_size {args.batch_size}: must be 1 or more")
    decoder, test_sets = None, []
    if args.inference_config is not None:
        decoder = options_from(Decoder, args)
        test_sets = _test_sets(args)
    elif args.references or args.test_sets:
        raise ValueError("decoding needs --inference_config")
    sweep(
        options_from(
            SweepOptions,
            args,
            targets=args.target_reduction,
            cut=cut_options(args),
            validate=not args.skip_validation,
            decoder=decoder,
            test_sets=test_sets,
        )
    )
    print(f"{args.output_dir}/sweep.md")
    print((args.output_dir / "sweep.md").read_text(encoding="utf-8"), end="")


def _test_sets(args: argparse.Namespace) -> list[TestSet]:
    """Return the sets to decode, whose files all exist.

    Raises:
        ValueError: a file is missing.
    """
    from espnet_adaptive_dropout.pruning.sweep.decoding import TestSet

    sets = [
        TestSet(path.name, f"{path / 'wav.scp'},speech,sound", path / "text")
        for path in args.test_sets
    ]
    if args.references is not None or not sets:
        sets.append(_validation_set(args))
    names = [test_set.name for test_set in sets]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two test sets are called {name}")
    files = [file for test_set in sets for file in (test_set.scp, test_set.references)]
    for file in [args.inference_config, *files]:
        if not file.is_file():
            raise ValueError(f"{file}: no such file")
    return sets


def _validation_set(args: argparse.Namespace) -> TestSet:
    """Return the speech of ``--data``, or of the config's validation data."""
    from espnet_adaptive_dropout.experiments.data import triplets
    from espnet_adaptive_dropout.experiments.experiment import load_config
    from espnet_adaptive_dropout.pruning.sweep.decoding import TestSet

    found = triplets(args.data, load_config(args.train_config), "valid", "--data")
    speech = [item for item in found if not item[1].startswith("text")]
    text = [Path(path) for path, name, _ in found if name == "text"]
    if not speech:
        raise ValueError("--data names no speech to decode")
    references = args.references or (text[0] if text else None)
    if references is None:
        raise ValueError("--references is needed: --data names no text")
    return TestSet(Path(speech[0][0]).parent.name, ",".join(speech[0]), references)


if __name__ == "__main__":
    main()
