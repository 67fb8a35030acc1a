"""Error rates of cuts without training: ``python -m benchmarks.repair``.

Cuts the dense models of a comparison (``benchmarks.compare --rows dense``) to several
sizes, with and without ``--repair true``, scores the cuts and writes repair.md. What
has a result is not made again. Run it in the directory of the recipe.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.files import read_json, write_text
from benchmarks.models.score import score
from benchmarks.tables.results import Measured, Result, relative_change
from espnet_adaptive_dropout.bin import prune
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.markdown import table_lines

# Options of ``adaprune prune`` beside the size, by criterion
CRITERIA = {
    "taylor": ("locations=all", "batches=64"),
    "magnitude": ("locations=all",),
    "activation": ("locations=all", "utterances=512"),
}


@dataclasses.dataclass(frozen=True)
class Cut:
    """A way to cut a model.

    Args:
        criterion: key of ``CRITERIA``.
        percent: percentage of the encoder's parameters to remove.
        repaired: whether the cut is repaired.
    """

    criterion: str
    percent: int
    repaired: bool

    @property
    def name(self) -> str:
        """Name of the directory of the cut."""
        end = "_repaired" if self.repaired else ""
        return f"{self.criterion}_{self.percent}{end}"


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.repair",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--exp", type=Path, required=True, help="of the comparison")
    add("--out", type=Path, required=True, help="directory for cuts and table")
    add("--seeds", type=int, nargs="+", default=[1, 2, 3])
    add("--sizes", type=int, nargs="+", default=[30, 40, 54], help="percent removed")
    add("--criteria", nargs="+", default=[*CRITERIA], choices=[*CRITERIA])
    add("--repaired_only", action="store_true", help="no cuts without repair")
    add("--data", default="dump/raw/train/wav.scp,speech,sound", help="to repair on")
    add("--repair_utterances", type=int, default=256)
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, cut and score what has no result yet, and write the table."""
    execute("repair", get_parser, run, cmd)


def run(args: argparse.Namespace) -> None:
    """Cut, score and write.

    Raises:
        ValueError: a dense model, the data or the sets to score are missing.
    """
    ways = (False, True)[args.repaired_only :]
    cuts = [Cut(*of) for of in itertools.product(args.criteria, args.sizes, ways)]
    for seed, cut in tqdm([*itertools.product(args.seeds, cuts)], desc="cuts"):
        directory = args.out / f"seed{seed}" / cut.name
        if not (directory / "result.json").exists():
            _make(args, args.exp / f"seed{seed}" / "dense" / "train", cut, directory)
    table = "\n".join(repair_table(args.exp, args.out)) + "\n"
    write_text(args.out / "repair.md", table)
    print(table, end="")


def _make(args: argparse.Namespace, dense: Path, cut: Cut, directory: Path) -> None:
    """Cut and score one model."""
    if not (directory / "report.json").exists():
        command = [
            *("--train_config", str(dense / "config.yaml")),
            *("--model_file", str(dense / "valid.loss.ave.pth")),
            *("--output_dir", str(directory), "--data", args.data),
            *("--criterion", cut.criterion),
            *("--target_reduction", str(cut.percent / 100)),
            *("--repair", str(cut.repaired).lower()),
            *("--repair_utterances", str(args.repair_utterances)),
        ]
        for option in CRITERIA[cut.criterion]:
            command += ["--criterion_conf", option]
        prune.main(command)
    score(
        argparse.Namespace(
            train_config=directory / "config.yaml",
            model_file=directory / "valid.loss.ave.pth",
            sets=args.exp / "sets.json",
            valid="dev",
            output=directory / "result.json",
        )
    )


def repair_table(exp: Path, out: Path) -> list[str]:
    """Return the table of all cuts that have a result, as Markdown lines.

    Args:
        exp: directory of the comparison.
        out: directory of the cuts.

    Raises:
        ValueError: there are no cuts, or a dense model has no result.
    """
    found: dict[tuple[str, int, bool], dict[int, Path]] = {}
    for path in sorted(out.glob("seed*/*/result.json")):
        criterion, percent, *repaired = path.parent.name.split("_")
        key = (criterion, int(percent), bool(repaired))
        found.setdefault(key, {})[_seed(path.parent.parent)] = path
    if not found:
        raise ValueError(f"{out}: no cut has a result")
    seeds = sorted({seed for paths in found.values() for seed in paths})
    dense = _measured("dense", {s: exp / f"seed{s}/dense/result.json" for s in seeds})
    headings = ["criterion", "removed", "repair", "error of the encoder [%]"]
    headings += ["WER test [%]", "each seed", "WER dev [%]", "against dense"]
    headings += ["extra errors left"]
    cells = [["", "0 %", "", "", *_rates(dense), "", ""]]
    order = sorted(found, key=lambda key: (-ord(key[0][0]), *key[1:]))
    for key in order:
        row = _measured(Cut(*key).name, found[key])
        without = found.get((*key[:2], False), {}) if key[2] else {}
        change = relative_change(row, dense)
        cells.append(
            [
                *(key[0], f"{key[1]} %", "yes" if key[2] else "no"),
                _errors(found[key], key[2], found.get((*key[:2], True), {})),
                *_rates(row),
                "" if change is None else f"{change:+.0f} %",
                _left(row, _measured("", without), dense),
            ]
        )
    return table_lines(headings, cells, left=(0, 2, 5))


def _seed(directory: Path) -> int:
    return int(directory.name[len("seed") :])


def _measured(name: str, paths: dict[int, Path]) -> Measured:
    """Read the results of one row.

    Raises:
        ValueError: a result is missing.
    """
    results: dict[int, Result] = {}
    for seed, path in sorted(paths.items()):
        if not path.exists():
            raise ValueError(f"{path}: no such result; run benchmarks.compare first")
        results[seed] = read_json(path)
    return Measured(name, name, "", name, results)


def _rates(row: Measured) -> list[str]:
    """Word error rates: mean and deviation, and each seed, on test; mean on dev."""
    digits = row.decimals("test")
    each = ", ".join(f"{rate:.{digits}f}" for rate in row.rates("test").values())
    return [row.spread("test"), each, f"{row.mean_rate('dev'):.1f}"]


def _errors(paths: dict[int, Path], repaired: bool, measured: dict[int, Path]) -> str:
    """Mean over the seeds of the encoder's error; the repair measures both."""
    reports: list[dict[str, Any]] = [
        _of_encoder(read_json(path.with_name("report.json"))["repair"])
        for seed, path in measured.items()
        if seed in paths
    ]
    if not reports:
        return ""
    which = "after" if repaired else "before"
    return f"{100 * statistics.fmean(report[which] for report in reports):.1f}"


def _of_encoder(repair: dict[str, Any]) -> dict[str, Any]:
    """Return the repair of the encoder; earlier reports have no other."""
    return repair.get("encoder", repair)


def _left(row: Measured, without: Measured, dense: Measured) -> str:
    """Share of the errors that the cut added which is there after the repair."""
    seeds = sorted(set(without.results) & set(row.results))
    if not seeds:
        return ""
    rates = [one.rates("test") for one in (row, without, dense)]
    after, before, origin = (sum(rate[seed] for seed in seeds) for rate in rates)
    if before <= origin:  # the cut added none
        return ""
    return f"{100 * (after - origin) / (before - origin):.0f} %"


if __name__ == "__main__":
    main()
