"""Writes the tables of a comparison: ``python -m benchmarks.tables``.

Reads the result.json files of ``benchmarks.compare`` and writes RESULTS.md,
results.json and results.png. Rows without results are left out and named.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from benchmarks import ROOT
from benchmarks.compare.configs import SETTINGS_FILE
from benchmarks.compare.runs import (
    ABLATION,
    BOTH,
    EQUAL_COST,
    MAIN,
    SETTINGS,
    SIZES,
)
from benchmarks.files import read_json, write_json, write_text
from benchmarks.tables.results import (
    Measured,
    cost,
    location_table,
    of_section,
    read_results,
    relative_change,
    removed,
    size_table,
)
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.markdown import table_lines

HEADINGS = {
    MAIN: "Ways to the same size",
    EQUAL_COST: "Trainings at the cost of the dense one",
    BOTH: "Encoder and decoder with one target",
    ABLATION: "Each location alone and each left out",
    SETTINGS: "Ours with one setting changed",
    SIZES: "One training, many sizes",
}
CAVEAT = (
    "**Synthetic speech tests the method and says nothing about WER on LibriSpeech.** "
    "Compare a difference with the spread over the seeds and the number of words."
)


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tables", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--exp", type=Path, default=ROOT / "benchmarks/exp", help="of the comparison")
    add("--out", type=Path, help="directory for the tables; default: --exp")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and write."""
    execute("tables", get_parser, write_tables, cmd)


def write_tables(args: argparse.Namespace) -> None:
    """Write the three files.

    Raises:
        ValueError: there are no results.
    """
    from benchmarks.tables.plot import plot_rows

    rows = read_results(args.exp)
    settings = yaml.safe_load((args.exp / SETTINGS_FILE).read_text(encoding="utf-8"))
    dense = next((row for row in rows if row.key == "dense"), None)
    out = args.out or args.exp
    missing = missing_rows(args.exp, rows)
    write_text(out / "RESULTS.md", to_markdown(rows, dense, settings, missing))
    content = dict(
        settings=settings,
        missing=missing,
        rows=[to_dict(row, dense) for row in rows],
    )
    write_json(out / "results.json", content)
    plot_rows(rows, dense, out / "results.png")
    print(f"{out}/RESULTS.md, results.json, results.png: {len(rows)} rows")


def missing_rows(exp: Path, rows: list[Measured]) -> list[str]:
    """Titles of rows without any result."""
    there = {row.key for row in rows}
    described = read_json(exp / "rows.json").values()
    titles = [about["title"] for about in described if about["row"] not in there]
    return list(dict.fromkeys(titles))


def to_dict(row: Measured, dense: Measured | None) -> dict[str, Any]:
    """A row as JSON."""
    return dict(
        row=row.key,
        title=row.title,
        section=row.section,
        run=row.run,
        seeds=sorted(row.results),
        removed=removed(row, dense),
        training_cost=cost(row, dense),
        encoder_params=row.mean("encoder_params"),
        encoder_macs=row.mean("encoder_macs"),
        valid_loss=row.mean("valid_loss"),
        wer_test=row.rates("test"),
        wer_dev=row.rates("dev"),
        cer_test=row.rates("test", "char"),
        relative_to_dense=relative_change(row, dense),
        others=[to_dict(other, dense) for other in row.others],
        results=row.results,
    )


def to_markdown(
    rows: list[Measured],
    dense: Measured | None,
    settings: dict[str, Any],
    missing: list[str],
) -> str:
    """All tables."""
    lines = ["# Comparison", "", *_introduction(rows, settings), ""]
    for section, heading in HEADINGS.items():
        chosen = of_section(rows, section)
        if not chosen:
            continue
        lines += [f"## {heading}", ""]
        if section == ABLATION:
            lines += [*location_table(rows, dense), ""]
        if section == SIZES:
            lines += [*size_table(rows, settings["target"]), ""]
        lines += [*_table(chosen, dense), ""]
    tried = [run for row in rows if row.others for run in (row, *row.others)]
    if tried:
        lines += ["## All prune points", ""]
        lines += [
            "The prune point with the lowest mean WER on the development sets stands "
            "for its criterion above.",
            "",
            *_table(sorted(tried, key=lambda run: run.run), dense, by_run=True),
            "",
        ]
    lines += ["## Each set", "", *_set_table(rows), ""]
    if missing:
        lines += [f"Not run (yet): {'; '.join(missing)}.", ""]
    return "\n".join(lines)


def _introduction(rows: list[Measured], settings: dict[str, Any]) -> list[str]:
    one = next(iter(rows[0].results.values()))
    sets = one["sets"]
    words = {
        part: sum(counts["words"] for name, counts in sets.items() if part in name)
        for part in ("test", "dev")
    }
    config = Path(settings["dense_config"]).name
    count = settings.get("utterances")
    data = f"{count} utterances" if count else "the data"
    return [
        f"Every row: {settings['steps']} training steps in all "
        f"({settings['max_epoch']:g} passes through {data}), unless its title names "
        f"another cost; the same batches in the same order, the learning rate of "
        f"`{config}` with its warm-up scaled to the length, three checkpoints "
        f"averaged, decoding: {one.get('decoding', 'greedy CTC')}. A training that is "
        f"pruned midway keeps its epoch, its learning rate and Adam's moments of the "
        f"kept weights. The cost of "
        f"a training is counted in MACs of the encoder, as a share of the dense "
        f"training's. WER is pooled over the test ({words['test']} words) and "
        f"development ({words['dev']} words) sets: mean ± standard deviation over the "
        f"seeds, then each seed; the last column is the change of the mean WER on test "
        f"against dense over the same seeds.",
        "",
        CAVEAT,
    ]


def _table(
    rows: list[Measured], dense: Measured | None, by_run: bool = False
) -> list[str]:
    headings = [
        *("row", "removed", "encoder params", "MACs (10 s)", "training [MACs]"),
        "WER test [%]",
        *("each seed", "WER dev [%]", "valid loss", "against dense"),
    ]
    cells = []
    for row in rows:
        share, change = removed(row, dense), relative_change(row, dense)
        spent = cost(row, dense)
        digits = row.decimals("test")
        named = by_run or row.others
        rates = (f"{rate:.{digits}f}" for rate in row.rates("test").values())
        line = [
            f"{row.title} (`{row.run}`)" if named else row.title,
            "-" if share is None else f"{share:.1%}",
            f"{row.mean('encoder_params'):,.0f}",
            f"{row.mean('encoder_macs') / 1e6:.1f} M",
            "-" if spent is None else f"{spent:.0%}",
            row.spread("test"),
            ", ".join(rates),
            row.spread("dev"),
            f"{row.mean('valid_loss'):.2f}",
            "-" if change is None else f"{change:+.0f} %",
        ]
        cells.append(line)
    return table_lines(headings, cells, left=(0, 6))


def _set_table(rows: list[Measured]) -> list[str]:
    names = list(next(iter(rows[0].results.values()))["sets"])
    headings = ["row", *(f"WER {name} [%]" for name in names), "CER test [%]"]
    cells = [
        [row.title, *map(row.spread, names), row.spread("test", "char")] for row in rows
    ]
    return table_lines(headings, cells)


if __name__ == "__main__":
    main()
