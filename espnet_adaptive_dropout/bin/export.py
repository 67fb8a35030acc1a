"""Export a trained encoder: ``python -m espnet_adaptive_dropout.bin.export``.

Reads an ESPnet experiment with a Conformer, pruned or stock, and writes a directory
with encoder.onnx (any length and batch size), encoder.int8.onnx, and export.json /
export.md: sizes, CPU times, and differences from the encoder in PyTorch on the
model's data, also for the int8 that ESPnet's ``--quantize_asr_model`` makes. Nothing
is written if ONNX in float32 does not compute what PyTorch does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet_adaptive_dropout.bin.command import (
    CommandLine,
    execute,
    new_parser,
    options_from,
)
from espnet_adaptive_dropout.bin.cut_options import (
    add_model_options,
    check_data_options,
)
from espnet_adaptive_dropout.experiments.files import (
    new_directory,
    write_json,
    write_text,
)

# Patterns of the files that releases without a manifest wrote
FORMER = ("export.json", "export.md", "*.onnx", "*.onnx.data")
# Rounds of the time measurement
ROUNDS = 21

EXAMPLE = """\
adaprune export --train_config exp/asr_x_compact/config.yaml \\
    --model_file exp/asr_x_compact/valid.final_acc.ave.pth \\
    --output_dir exp/asr_x_compact/export"""


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    from espnet2.utils.types import str2bool

    parser = new_parser(
        "Write an encoder as ONNX and in int8, and measure both beside PyTorch.",
        EXAMPLE,
    )
    add = parser.add_argument
    add_model_options(parser)
    add("--output_dir", type=Path, required=True, help="new directory")
    add("--onnx", type=str2bool, default=True, help="write ONNX files")
    add("--int8", type=str2bool, default=True, help="write int8 forms too")
    add(
        "--data",
        action="append",
        help="PATH,NAME,TYPE of audio for the comparison; default: validation data",
    )
    add("--utterances", type=int, default=4, help="utterances for the comparison")
    add(
        "--tolerance",
        type=float,
        default=1e-5,
        help="largest relative error of ONNX",
    )
    add("--measure_time", type=str2bool, default=True, help="time the forms")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, export, compare and write."""
    execute("export", get_parser, export_to_directory, cmd)


def export_to_directory(args: argparse.Namespace) -> None:
    """Write the export.

    Raises:
        ValueError: see :func:`export.export.export`; or the output directory was
            not made by this command.
        OSError: the result cannot be written.
    """
    from espnet_adaptive_dropout.export.export import REPORT, ExportOptions, export
    from espnet_adaptive_dropout.export.markdown import to_markdown

    check_data_options(args)
    rounds = ROUNDS if args.measure_time else 0
    options = options_from(ExportOptions, args, rounds=rounds)
    with new_directory(args.output_dir, REPORT, FORMER) as partial:
        report = export(args.train_config, args.model_file, partial, options)
        write_json(partial / REPORT, report)
        write_text(partial / "export.md", to_markdown(report))
    print(f"{args.output_dir}: {_summary(report)}")


def _summary(report: dict) -> str:
    parts = []
    for name, row in report["forms"].items():
        text = f"{name} {row['bytes'] / 1e6:.2f} MB"
        if name != "pytorch":
            text += f" (difference {row['difference']['relative']:.1e})"
        parts.append(text)
    return ", ".join(parts)


if __name__ == "__main__":
    main()
