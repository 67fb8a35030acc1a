"""Shows how closely the size follows its ramp: ``python -m benchmarks.control``.

Trains on the task of ``synthetic`` with the default gains: for several sizes,
locations, costs and kinds of gate, for an encoder ten times larger and for a training
ten times longer. Finished trainings are not run again; control.md has the table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import ROOT
from benchmarks.files import write_json, write_text
from benchmarks.synthetic import Size, Task, train
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.markdown import table_lines

SMALL = Size(output_size=32, linear_units=96, num_blocks=2)
LARGE = Size(output_size=80, linear_units=320, num_blocks=3)
STEPS = 600


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training.

    Args:
        name: name of its result.
        conf: ``adaptive_dropout_conf`` without ``control``.
        size: size of the encoder.
        steps: number of training steps.
    """

    name: str
    conf: dict[str, Any]
    size: Size = SMALL
    steps: int = STEPS


TRIALS = (
    Trial("54 %", dict(target_reduction=0.54)),
    Trial("20 %", dict(target_reduction=0.2)),
    Trial("40 %", dict(target_reduction=0.4)),
    Trial("70 %", dict(target_reduction=0.7)),
    Trial("80 %", dict(target_reduction=0.8)),
    Trial("50 % of the MACs", dict(target_reduction=0.5, cost="macs", cost_frames=100)),
    Trial(
        "5 %, conv_input alone", dict(target_reduction=0.05, locations=["conv_input"])
    ),
    Trial(
        "20 %, query and value",
        dict(target_reduction=0.2, locations=["query", "value"]),
    ),
    Trial("54 %, hard concrete", dict(target_reduction=0.54, gate="hard_concrete")),
    Trial("54 %, encoder ten times larger", dict(target_reduction=0.54), LARGE),
    Trial(
        "54 %, training ten times longer",
        dict(target_reduction=0.54),
        SMALL,
        10 * STEPS,
    ),
)


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--exp",
        type=Path,
        default=ROOT / "benchmarks/exp/control",
        help="results go here",
    )
    add("--controls", nargs="+", default=["feedback", "lagrangian"])
    add("--seed", type=int, default=0)
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, train what has no result yet and write the table."""
    execute("control", get_parser, run, cmd)


def run(args: argparse.Namespace) -> None:
    """Run every trial under every control."""
    args.exp.mkdir(parents=True, exist_ok=True)
    path = args.exp / "control.json"
    done = json.loads(path.read_text()) if path.exists() else {}
    todo = [(trial, control) for trial in TRIALS for control in args.controls]
    for trial, control in tqdm(todo, desc="trials"):
        key = f"{control}: {trial.name}: {args.seed}"
        if key not in done:
            done[key] = {
                "trial": trial.name,
                "control": control,
                **follow(trial, control, args.seed),
            }
            write_json(path, done)
            write_text(args.exp / "control.md", table(list(done.values())))
    print((args.exp / "control.md").read_text(), end="")


def follow(trial: Trial, control: str, seed: int) -> dict[str, float]:
    """Train, and compare the size with the ramp and the target.

    Returns:
        Largest distance of the expected size from the ramp before the freeze, the
        distance of the final size from the target, and the largest share of one unit
        (all in points); the number of parameters and of steps.
    """
    torch.manual_seed(seed)
    conf = dict(trial.conf, control=control, total_steps=trial.steps)
    task = Task(trial.size, conf)
    record = train(task, trial.steps)
    freeze_at = task.encoder.adaptive_dropout_conf.freeze_at
    before = record[: int(freeze_at * trial.steps)]
    cost = task.encoder.control.cost
    return {
        "parameters": task.encoder.units.parameters.total,
        "steps": trial.steps,
        "from_ramp": 100
        * max(abs(r["expected_reduction"] - r["target_reduction"]) for r in before),
        "from_target": 100
        * abs(record[-1]["actual_reduction"] - trial.conf["target_reduction"]),
        "unit": 100 * max(cost.per_unit).item() / cost.total,
        "undecided": before[-1]["undecided_units"],
    }


def table(results: list[dict[str, Any]]) -> str:
    """Markdown table of all results."""
    headings = [
        *("asked for", "control", "encoder", "steps"),
        *("off the ramp, at most [points]", "final size off [points]"),
        *("one unit [points]", "undecided before the freeze"),
    ]
    rows = [
        [
            *(r["trial"], r["control"], f"{r['parameters']:,.0f}", str(r["steps"])),
            *(f"{r['from_ramp']:.2f}", f"{r['from_target']:.3f}", f"{r['unit']:.2f}"),
            f"{r['undecided']:.0%}",
        ]
        for r in results
    ]
    return "\n".join(table_lines(headings, rows, left=(0, 1))) + "\n"


if __name__ == "__main__":
    main()
