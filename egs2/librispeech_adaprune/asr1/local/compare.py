#!/usr/bin/env python3
"""Writes the closing table: the stock Conformer against the pruned models.

Every experiment of the corpus that has been decoded is a row. Word error rates and
real-time factors come from stages 12 and 13, sizes from the pruning report or from
espnet_adaptive_dropout.bin.measure.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from check_options import OptionError, best_model

_SYNTHETIC = ("toy", "smoke", "medium")
_KINDS = {
    "conformer": "stock Conformer",
    "adaptive_dropout_conformer": "adaptive dropout, not pruned",
    "espnet_adaptive_dropout.compact_conformer": "adaptive dropout, pruned",
}
_STOCK = _KINDS["conformer"]
_ERR = -2  # column of Err in sclite's summary, counted from the end


@dataclass
class Row:
    """One experiment: sizes, and WER in per cent and RTF of each set."""

    experiment: Path
    kind: str
    wer: dict[str, float]
    rtf: dict[str, float]
    sizes: dict[str, float]


def error_rate(result: Path) -> float | None:
    """Return Err of the Sum/Avg line of sclite's result.txt, or None without one."""
    for line in result.read_text(encoding="utf-8", errors="replace").splitlines():
        if "Sum/Avg" in line:
            return float(re.findall(r"[0-9.]+", line.split("Sum/Avg")[1])[_ERR])
    return None


def real_time_factor(log: Path) -> float | None:
    """Return the real-time factor of calculate_rtf.log, or None without one."""
    text = log.read_text(encoding="utf-8") if log.is_file() else ""
    found = re.search(r"^RTF: ([0-9.]+)", text, re.MULTILINE)
    return float(found[1]) if found else None


def model_file(experiment: Path, config: dict) -> Path:
    """Return the checkpoint that an experiment is decoded with.

    Raises:
        OptionError: It is not clear which.
    """
    path = experiment / best_model(experiment / "config.yaml", config)
    found = [path] if path.is_file() else list(experiment.glob("*.pth"))
    if len(found) != 1:  # a pruned experiment has just one
        raise OptionError(f"{path} is missing: run stage 11 first")
    return found[0]


def sizes_of(experiment: Path, config: dict) -> dict[str, float]:
    """Return the sizes of an experiment's model; what is measured is kept.

    Raises:
        OptionError: The measuring command failed.
    """
    model = model_file(experiment, config)
    kept = experiment / "measure.json"
    if kept.is_file() and kept.stat().st_mtime >= model.stat().st_mtime:
        return json.loads(kept.read_text(encoding="utf-8"))
    if (experiment / "certificate.json").is_file():
        report = (experiment / "report.json").read_text(encoding="utf-8")
        return json.loads(report)["after"]
    command = [sys.executable, "-m", "espnet_adaptive_dropout.bin.measure"]
    command += ["--train_config", str(experiment / "config.yaml")]
    done = subprocess.run(
        [*command, "--model_file", str(model)], capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise OptionError(f"{experiment} cannot be measured: {said}")
    text = done.stdout.strip().splitlines()[-1]
    kept.write_text(text, encoding="utf-8")
    return json.loads(text)


def read_row(experiment: Path) -> Row | None:
    """Return an experiment's row; None when it has not been decoded and scored."""
    wer, rtf = {}, {}
    files = experiment.glob("*/**/score_wer/result.txt")
    # Of several decodings of a set the newest counts.
    for result in sorted(files, key=lambda path: path.stat().st_mtime):
        decoded = result.parent.parent
        name = decoded.relative_to(experiment).as_posix().split("/", 1)[1]
        error = error_rate(result)
        factor = real_time_factor(decoded / "logdir/calculate_rtf.log")
        if error is not None:
            wer[name] = error
        if factor is not None:
            rtf[name] = factor
    if not wer:
        return None
    config = yaml.safe_load((experiment / "config.yaml").read_text(encoding="utf-8"))
    kind = _KINDS.get(config.get("encoder"), str(config.get("encoder")))
    return Row(experiment, kind, wer, rtf, sizes_of(experiment, config))


def read_rows(expdir: Path, corpus: str) -> list[Row]:
    """Return the rows of a corpus, the stock Conformer first.

    Args:
        expdir: The directory with the experiments.
        corpus: What run.sh notes in each experiment's .corpus.
    """
    rows = []
    for mark in sorted(expdir.glob("*/.corpus")):
        if mark.read_text(encoding="utf-8").strip() == corpus:
            rows.append(read_row(mark.parent))
    return sorted((row for row in rows if row), key=lambda row: row.kind != _STOCK)


def markdown(rows: list[Row], corpus: str) -> str:
    """Return the table with what has to be said beside it."""
    sets = list(dict.fromkeys(name for row in rows for name in row.wer))
    seconds = rows[0].sizes["mac_seconds"]
    head = ["model", *(f"WER {name} [%]" for name in sets), "encoder params"]
    head += ["all params", f"encoder MACs ({seconds:g} s)"]
    head += [f"RTF {name}" for name in sets]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    kinds = [row.kind for row in rows]
    notes = []
    for row in rows:
        name = row.kind
        if kinds.count(name) > 1:
            name += f" ({row.experiment.name})"
        cells = [name]
        cells += [f"{row.wer[n]:.1f}" if n in row.wer else "-" for n in sets]
        cells += [f"{row.sizes[n]:,.0f}" for n in ("encoder_params", "total_params")]
        cells += [f"{row.sizes['encoder_macs'] / 1e6:,.1f} M"]
        cells += [f"{row.rtf[n]:.3f}" if n in row.rtf else "-" for n in sets]
        lines.append("| " + " | ".join(cells) + " |")
        if row.kind != _STOCK and rows[0].kind == _STOCK:
            less = 1 - row.sizes["encoder_params"] / rows[0].sizes["encoder_params"]
            notes.append(f"\n{name}: {less:.1%} fewer encoder parameters.\n")
    if _STOCK not in kinds:
        notes.append("\nNot decoded yet: the stock Conformer (--baseline true).\n")
    if corpus in _SYNTHETIC:
        notes.append(
            f"\nMeasured on synthetic speech (corpus '{corpus}'): it tests the recipe "
            "and says nothing about WER on LibriSpeech.\n"
        )
    return "\n".join(lines) + "\n" + "".join(notes)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--expdir", type=Path, required=True)
    parser.add_argument("--corpus", required=True, help="what run.sh noted in .corpus")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        rows = read_rows(args.expdir, args.corpus)
        if not rows:
            raise OptionError(f"{args.expdir}: no model of '{args.corpus}' is decoded")
        text = "# Stock Conformer and pruned Conformer\n\n" + markdown(
            rows, args.corpus
        )
        partial = args.out.with_name(f".{args.out.name}.tmp")
        partial.write_text(text, encoding="utf-8")
        partial.replace(args.out)
    except (OptionError, OSError) as error:
        sys.exit(f"compare.py: error: {error}")
    print(text)


if __name__ == "__main__":
    main()
