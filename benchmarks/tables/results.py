"""Reads the results of the runs and groups them into rows."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.runs import BOTH, FAMILY, LOCATIONS, MAIN, SIZES, percent
from benchmarks.compare.training_cost import training_cost
from benchmarks.files import read_json
from espnet_adaptive_dropout.experiments.markdown import table_lines

Result = dict[str, Any]


@dataclasses.dataclass
class Measured:
    """One row of the table: the same run under several seeds.

    Args:
        key: of the row.
        title: shown in the tables.
        section: of the tables.
        run: name of the run that stands for the row.
        results: seed -> result.json.
        parts: length of the training at full and at the final width, see
            ``training_cost.parts_by_width``; None if unknown.
        others: the row's other runs, which were worse on the development sets.
    """

    key: str
    title: str
    section: str
    run: str
    results: dict[int, Result]
    parts: tuple[float, float] | None = None
    others: list[Measured] = dataclasses.field(default_factory=list)

    def rates(self, part: str, kind: str = "word") -> dict[int, float]:
        """Seed -> error rate in percent over all sets that begin with ``part``."""
        return {
            seed: error_rate(result, part, kind)
            for seed, result in sorted(self.results.items())
        }

    def mean_rate(self, part: str = "test") -> float:
        """Mean over the seeds of the word error rate in percent."""
        return statistics.fmean(self.rates(part).values())

    def decimals(self, part: str, kind: str = "word") -> int:
        """Decimals of an error rate: two where 0.01 points are an error or more."""
        result = next(iter(self.results.values()))
        return 2 if _count(result, part, f"{kind}s") >= 10_000 else 1

    def spread(self, part: str, kind: str = "word") -> str:
        """Mean and sample standard deviation as "6.1 ± 0.4", or the value alone."""
        rates, digits = list(self.rates(part, kind).values()), self.decimals(part, kind)
        mean = f"{statistics.fmean(rates):.{digits}f}"
        if len(rates) < 2:
            return mean
        return f"{mean} ± {statistics.stdev(rates):.{digits}f}"

    def mean(self, name: str) -> float:
        """Mean over the seeds of a number in the results."""
        return statistics.fmean(result[name] for result in self.results.values())


def error_rate(result: Result, part: str, kind: str = "word") -> float:
    """Errors over words (or chars), pooled over the sets that begin with ``part``."""
    errors = _count(result, part, f"{kind}_errors")
    return 100.0 * errors / max(_count(result, part, f"{kind}s"), 1)


def _count(result: Result, part: str, what: str) -> int:
    sets = result["sets"].items()
    return sum(counts[what] for name, counts in sets if name.startswith(part))


def read_results(exp: Path) -> list[Measured]:
    """All rows of which at least one run has a result, in the order of ``rows``.

    Of a row with several runs (prune points) the one with the lowest mean word error
    rate on the development sets, over the seeds that all of them have, stands for it.

    Raises:
        ValueError: there are no results.
    """
    if not (exp / "rows.json").exists():
        raise ValueError(f"{exp}: no results; run python -m benchmarks.compare first")
    described = read_json(exp / "rows.json")
    rows: dict[str, list[Measured]] = {}
    for name, about in described.items():
        results = {
            int(path.parent.parent.name[len("seed") :]): read_json(path)
            for path in sorted(exp.glob(f"seed*/{name}/result.json"))
        }
        if results:
            row = Measured(
                about["row"],
                about["title"],
                about["section"],
                name,
                results,
                about.get("parts_by_width"),
            )
            rows.setdefault(row.key, []).append(row)
    if not rows:
        raise ValueError(f"{exp}: no run has finished yet")
    return [_best(runs) for runs in rows.values()]


def _best(runs: list[Measured]) -> Measured:
    """The run that stands for a row, with the others attached."""
    common = set.intersection(*(set(run.results) for run in runs))
    # Without a common seed the runs cannot be compared: the first must do.
    best = runs[0]
    if common:
        best = min(runs, key=lambda run: _mean_over(run, sorted(common)))
    best.others = [run for run in runs if run is not best]
    return best


def _mean_over(run: Measured, seeds: list[int]) -> float:
    rates = run.rates("dev")
    return statistics.fmean(rates[seed] for seed in seeds)


def relative_change(row: Measured, dense: Measured | None) -> float | None:
    """Change of the mean word error rate on test against dense, in percent.

    Over the seeds that both have, so that a row with fewer seeds is not compared
    with other data.
    """
    if dense is None:
        return None
    mine, theirs = row.rates("test"), dense.rates("test")
    common = sorted(set(mine) & set(theirs))
    if not common:
        return None
    before = statistics.fmean(theirs[seed] for seed in common)
    after = statistics.fmean(mine[seed] for seed in common)
    return 100.0 * (after / before - 1.0) if before else None


def of_section(rows: list[Measured], section: str) -> list[Measured]:
    """The rows of a section as tables and plot show them; ours beside its variants."""
    chosen = [row for row in rows if row.section == section]
    if chosen and section != MAIN:
        chosen = [row for row in rows if row.key == "ours"] + chosen
    if section == MAIN:
        chosen.sort(key=Measured.mean_rate)
    if section == SIZES:
        chosen.sort(key=lambda row: -row.mean("encoder_params"))
    return chosen


def removed(row: Measured, dense: Measured | None) -> float | None:
    """Share of the dense encoder's parameters that the row's model lacks.

    Of encoder and decoder together where they have one target.
    """
    if dense is None:
        return None
    names = ["encoder_params"]
    if row.section == BOTH:
        names.append("decoder_params")
    left, whole = (sum(map(one.mean, names)) for one in (row, dense))
    return 1.0 - left / whole


def cost(row: Measured, dense: Measured | None) -> float | None:
    """Cost of the row's training in MACs, as a share of the dense training's."""
    if dense is None or row.parts is None:
        return None
    share = row.mean("encoder_macs") / dense.mean("encoder_macs")
    return training_cost(row.parts, share)


def location_table(rows: Sequence[Measured], dense: Measured | None) -> list[str]:
    """What each location gives and costs, alone and left out, as Markdown lines."""
    there = {row.key: row for row in rows}
    headings = ["location", "removed alone", "WER test [%]"]
    headings += ["removed without it", "WER test [%]"]
    cells = [
        [
            f"`{name}`",
            *_size_and_rate(there.get(f"only_{name}"), dense),
            *_size_and_rate(there.get(f"without_{name}"), dense),
        ]
        for name in LOCATIONS
    ]
    cells.append(["all", *_size_and_rate(there.get("ours"), dense), "", ""])
    return table_lines(headings, cells)


def size_table(rows: Sequence[Measured], target: float) -> list[str]:
    """Ways to several sizes, as Markdown lines; a way without results has no column.

    Args:
        rows: all that there are.
        target: share that the rows of the main table remove.
    """
    there = {row.key: row for row in rows}
    asked = percent(target)
    sizes = sorted({*map(percent, FAMILY), asked})
    titles = {
        "family": "one training for all sizes",
        "ours": f"trained for {asked} %, cut to this size",
        "separate": "a training for this size alone",
        "distilled": "this size alone, taught by the full width",
        "lagrangian": "this size alone, Lagrangian control",
        "taylor_for": "Taylor, then fine-tuning",
        "family_all": "one training for all sizes, all locations, taught",
        "ours_all": "this size alone, all locations",
        "distilled_all": "this size alone, all locations, taught",
        "taylor_all": "Taylor, all locations, then fine-tuning",
    }
    at_target = {
        "family": f"family_{asked}",
        "family_all": f"family_all_{asked}",
        "separate": "ours",
        "taylor_for": "taylor",
    }
    columns = []
    for way, title in titles.items():
        keys = [f"{way}_{size}" for size in sizes]
        if any(key in there for key in keys):
            keys[sizes.index(asked)] = at_target.get(way, way)
            columns.append([title, *(_rate(there, key) for key in keys)])
    headings, *cells = zip(["removed", *(f"{size} %" for size in sizes)], *columns)
    return table_lines(headings, cells, left=())


def _rate(there: dict[str, Measured], key: str) -> str:
    return there[key].spread("test") if key in there else "-"


def _size_and_rate(row: Measured | None, dense: Measured | None) -> list[str]:
    if row is None:
        return ["-", "-"]
    share = removed(row, dense)
    return ["-" if share is None else f"{share:.1%}", row.spread("test")]
