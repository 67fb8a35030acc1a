"""Report on a training: ``python -m espnet_adaptive_dropout.bin.report``.

Writes a report on an experiment and its pruned model in Markdown, JSON and PNG: kept
widths by block and location, retention probabilities and size over the training, error
over size of sweeps, and the costs of the encoder before and after, also as ONNX and in
int8. The report has one line about each part whose data are missing.
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
from espnet_adaptive_dropout.experiments.files import (
    new_directory,
    write_json,
    write_text,
)

# Shows that this command made a directory; pruned experiments have a report.json too
MARKER = ".made_by_bin_report"
# Patterns of the files that releases without a manifest wrote
FORMER = (MARKER, "report.md", "report.json", "*.png", "*.pdf")
EXAMPLE = """\
adaprune report --exp exp/asr_x --pruned exp/asr_x_compact \\
    --output_dir exp/asr_x/report"""


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    from espnet2.utils.types import str2bool

    parser = new_parser(
        "Write tables and plots of a training and its pruned model.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--exp", type=Path, required=True, help="experiment at full width")
    add("--output_dir", type=Path, required=True, help="new directory for the report")
    add("--pruned", type=Path, help="its pruned experiment, written by adaprune prune")
    add(
        "--sweep",
        nargs="+",
        default=[],
        metavar="[NAME=]FILE",
        help="sweep.json files written by adaprune sweep, a curve each",
    )
    add(
        "--separate",
        nargs="+",
        default=[],
        metavar="[NAME=]FILE",
        help="files of the same form, of separate trainings: points, not a curve",
    )
    add(
        "--export",
        type=Path,
        help="export.json's directory, written by adaprune export; default: the "
        "subdirectory export of the pruned (or only) experiment, if it exists",
    )
    add(
        "--measure_time",
        type=str2bool,
        default=True,
        help="time the encoders; takes about a minute for a large model",
    )
    add("--pdf", type=str2bool, default=False, help="also write the figures as PDF")
    add("--task", default="asr", help="ESPnet task: module of espnet2.tasks")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, gather, draw and write."""
    execute("report", get_parser, report_to_directory, cmd)


def report_to_directory(args: argparse.Namespace) -> None:
    """Write the report.

    Raises:
        ValueError: an input cannot be read, a package is missing, or the output
            directory was not made by this command.
        OSError: the report cannot be written.
    """
    try:
        from espnet_adaptive_dropout.report import markdown
        from espnet_adaptive_dropout.report.figures import draw_figures
        from espnet_adaptive_dropout.report.gather import ReportOptions, gather
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ValueError("matplotlib is missing: pip install matplotlib") from None
    with new_directory(args.output_dir, MARKER, FORMER) as partial:
        findings = gather(options_from(ReportOptions, args))
        formats = ("png", "pdf") if args.pdf else ("png",)
        drawn = draw_figures(findings, partial, formats)
        text = markdown.to_markdown(findings, drawn)
        write_text(partial / "report.md", text)
        write_json(partial / "report.json", markdown.to_json(findings, drawn), indent=1)
        (partial / MARKER).touch()
    for line in findings.missing:
        print(f"report: {line}")
    print(f"{args.output_dir / 'report.md'}: {len(drawn)} figures")


if __name__ == "__main__":
    main()
