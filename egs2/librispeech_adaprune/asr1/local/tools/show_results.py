#!/usr/bin/env python3
"""Writes RESULTS.md: environment, WER, CER and TER of every decoded set, RTF."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from common import RecipeError, replacing, run_tool
from results import result_files, rtf_of, summary_cells


def _git(*arguments: str) -> str:
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def environment() -> str:
    """Return the Markdown list of versions."""
    python = " ".join(sys.version.split())
    return (
        "# RESULTS\n## Environments\n"
        f"- date: `{time.strftime('%a %b %e %H:%M:%S %Z %Y')}`\n"
        f"- python version: `{python}`\n"
        f"- espnet version: `espnet {version('espnet')}`\n"
        f"- pytorch version: `pytorch {version('torch')}`\n"
        f"- Git hash: `{_git('rev-parse', 'HEAD')}`\n"
        f"  - Commit date: `{_git('log', '-1', '--format=%cd')}`\n"
    )


def score_table(experiment: Path, score: str) -> str:
    """Return the Markdown table of one score; empty when nothing was scored."""
    rows = []
    for name, path in result_files(experiment, score):
        cells = summary_cells(path)
        if cells:
            rows.append("|".join(["", name, *cells, ""]))
    if not rows:
        return ""
    head = "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|\n" + "|---" * 9 + "|"
    return "\n".join([f"### {score.upper()}", "", head, *rows, "", ""])


def rtf_table(experiment: Path) -> str:
    """Return the Markdown table of real-time factors."""
    rows = []
    for name, path in result_files(experiment, "wer"):
        factor = rtf_of(path.parent.parent)
        if factor is not None:
            rows.append(f"|{name}|{factor:.3f}|")
    if not rows:
        return ""
    return "\n".join(["### RTF", "", "|dataset|RTF|", "|---|---|", *rows, "", ""])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tables = [score_table(args.experiment, score) for score in ("wer", "cer", "ter")]
    if not any(tables):
        raise RecipeError(f"{args.experiment}: nothing has been scored in it")
    with replacing(args.out) as stream:
        stream.write(environment() + f"\n## {args.experiment}\n")
        stream.write("".join(tables) + rtf_table(args.experiment))


if __name__ == "__main__":
    run_tool(main)
