#!/usr/bin/env python3
"""The closing table: the stock Conformer against the pruned one.

Word error rates and real-time factors come from stages 12 and 13, sizes from
espnet_adaptive_dropout.bin.measure. Prints the Markdown and writes it to --out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from common import RecipeError, replacing, run_tool
from inspect_config import inspect
from results import result_files, rtf_of, summary_cells

_SYNTHETIC = ("toy", "smoke", "medium")
_ERR = -2  # column of Err in sclite's summary, counted from the end


@dataclass
class Row:
    """One experiment: sizes, and WER in per cent and RTF of each set."""

    name: str
    sizes: dict[str, float]
    wer: dict[str, float]
    rtf: dict[str, float]


def model_file(experiment: Path) -> Path:
    """Return the checkpoint that an experiment is decoded with.

    Raises:
        RecipeError: It is not clear which.
    """
    with (experiment / "config.yaml").open(encoding="utf-8") as stream:
        model = experiment / inspect(yaml.safe_load(stream))[1]
    if model.is_file():
        return model
    found = list(experiment.glob("*.pth"))  # a pruned experiment has just one
    if len(found) != 1:
        raise RecipeError(f"{model} is missing: run stage 11 first")
    return found[0]


def measure(experiment: Path) -> dict[str, float]:
    """Return the sizes of an experiment's model; kept in its measure.json.

    Raises:
        RecipeError: The measuring command failed.
    """
    config, model = experiment / "config.yaml", model_file(experiment)
    kept = experiment / "measure.json"
    if kept.is_file() and kept.stat().st_mtime >= model.stat().st_mtime:
        return json.loads(kept.read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "espnet_adaptive_dropout.bin.measure"]
    command += ["--train_config", str(config), "--model_file", str(model)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RecipeError(f"{experiment} cannot be measured: {said}")
    sizes = json.loads(done.stdout.strip().splitlines()[-1])
    with replacing(kept) as stream:
        json.dump(sizes, stream)
    return sizes


def read_row(name: str, experiment: Path) -> Row | None:
    """Return an experiment's row; None when it has not been decoded and scored."""
    row = Row(name, {}, {}, {})
    # Of several decodings of a set the newest counts.
    files = sorted(
        result_files(experiment, "wer"), key=lambda pair: pair[1].stat().st_mtime
    )
    for decoded, result in files:
        test_set = decoded.split("/", 1)[1]
        cells, factor = summary_cells(result), rtf_of(result.parent.parent)
        if cells:
            row.wer[test_set] = float(cells[_ERR])
        if factor is not None:
            row.rtf[test_set] = factor
    if not row.wer:
        return None
    row.sizes = measure(experiment)
    return row


def markdown(rows: list[Row], corpus: str) -> str:
    """Return the table with what has to be said beside it."""
    sets = list(dict.fromkeys(name for row in rows for name in row.wer))
    seconds = rows[0].sizes["mac_seconds"]
    head = ["model", *(f"WER {name} [%]" for name in sets), "encoder params"]
    head += ["all params", f"encoder MACs ({seconds:g} s)"]
    head += [f"RTF {name}" for name in sets]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [row.name]
        cells += [f"{row.wer[n]:.1f}" if n in row.wer else "-" for n in sets]
        cells += [
            f"{row.sizes[key]:,.0f}" for key in ("encoder_params", "total_params")
        ]
        cells += [f"{row.sizes['encoder_macs'] / 1e6:,.1f} M"]
        cells += [f"{row.rtf[n]:.3f}" if n in row.rtf else "-" for n in sets]
        lines.append("| " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    if len(rows) == 2:
        less = 1 - rows[1].sizes["encoder_params"] / rows[0].sizes["encoder_params"]
        text += f"\nThe pruned encoder has {less:.1%} fewer parameters.\n"
    if corpus in _SYNTHETIC:
        text += (
            f"\nMeasured on synthetic speech (corpus '{corpus}'): it tests the recipe "
            "and says nothing about WER on LibriSpeech.\n"
        )
    return text


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stock", type=Path, required=True)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--corpus", default="")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    named = (("stock Conformer", args.stock), ("adaptive dropout, pruned", args.ours))
    rows, missing = [], []
    for name, experiment in named:
        row = read_row(name, experiment)
        rows += [row] if row else []
        missing += [] if row else [f"{name} ({experiment})"]
    if not rows:
        raise RecipeError(f"nothing to compare: not decoded: {', '.join(missing)}")
    text = "# Stock Conformer and pruned Conformer\n\n" + markdown(rows, args.corpus)
    if missing:
        text += f"\nNot decoded yet: {', '.join(missing)}.\n"
    with replacing(args.out) as stream:
        stream.write(text)
    print(text)


if __name__ == "__main__":
    run_tool(main)
