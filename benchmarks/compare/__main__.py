"""Runs the comparison: ``python -m benchmarks.compare``.

Every row (see ``rows``) is an ESPnet training on the recipe's data: the same number
of steps, the same batches in the same order, the same final number of encoder
parameters. A run writes its config, commands, logs, models and result.json into
<exp>/seed<N>/<run>. Finished steps are not run again, and a training that was
interrupted is resumed. ``python -m benchmarks.tables`` shows the results.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks import ROOT
from benchmarks.compare import configs
from benchmarks.compare.commands import Task
from benchmarks.compare.corpus import Corpus, add_test_speech, part_of, prepare
from benchmarks.compare.jobs import ForkedCommands, Pool
from benchmarks.compare.plan import Planner, gate_options
from benchmarks.compare.rows import all_runs, chosen_runs
from benchmarks.compare.runs import TARGET
from benchmarks.compare.training_cost import parts_by_width
from benchmarks.files import read_json, write_json
from espnet_adaptive_dropout.bin.command import CommandLine, execute

RECIPE = ROOT / "egs2/librispeech_adaprune/asr1"


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--exp", type=Path, default=ROOT / "benchmarks/exp", help="results go here")
    add("--recipe_dir", type=Path, default=RECIPE, help="recipe with prepared data")
    add(
        "--rows",
        default="*",
        help="names, rows or sections, comma-separated, with wildcards; --list shows",
    )
    add("--seeds", default="1,2,3", help="comma-separated")
    add("--jobs", type=int, default=2, help="runs at a time, one thread each")
    add("--max_epoch", type=float, default=16.0, help="passes through the data")
    add("--target", type=float, default=TARGET, help="share of the encoder to remove")
    add(
        "--dense_config",
        default="conf/train_asr_conformer_toy.yaml",
        help="the stock model's training config; relative to the recipe",
    )
    add("--train_args", default="--ngpu 0", help="added to every training command")
    add("--train_set", default="train")
    add("--utterances", type=int, help="size of a random subset of the training set")
    add("--valid_set", default="dev")
    add("--test_sets", default="test_clean test_other")
    add(
        "--more_test_speech",
        action="store_true",
        help="synthesise two more hours like the toy corpus and score them too",
    )
    add("--list", action="store_true", help="print what would run, and stop")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd`` and run the steps that are not done yet."""
    execute("compare", get_parser, compare, cmd)


def compare(args: argparse.Namespace) -> None:
    """Run the chosen rows for all seeds.

    Raises:
        ValueError: an option is refused, or runs failed.
    """
    runs = chosen_runs(args.rows.split(","))
    corpus = find_corpus(args)
    settings = make_settings(args, corpus)
    tasks: list[Task] = []
    notes: list[str] = []
    for seed in map(int, args.seeds.split(",")):
        planner = Planner(settings, corpus, seed)
        tasks += planner.tasks(runs)
        notes += planner.notes
    for note in dict.fromkeys(notes):
        print(note)
    print(
        f"{settings.steps} training steps a row, checkpoints every "
        f"{settings.steps_per_part}; results in {settings.exp}",
        flush=True,
    )
    if args.list:
        for task in tasks:
            print(f"{'done' if task.done else 'todo'}  {task.name}")
        return
    # A plain "kill" ends the commands as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with only_one(settings.exp):
        keep_sets(settings.exp, corpus)
        failed = Pool(tasks, args.jobs, corpus.recipe_dir, ForkedCommands()).run()
    for name, reason in failed.items():
        print(f"compare: {name}: {reason}", file=sys.stderr)
    if failed:
        raise ValueError(f"{len(failed)} of {len(tasks)} tasks failed; see above")


def find_corpus(args: argparse.Namespace) -> Corpus:
    """The data that the options ask for; prepared or synthesised if missing."""
    tests = args.test_sets.split()
    corpus = prepare(args.recipe_dir, args.train_set, args.valid_set, tests)
    if args.more_test_speech and not args.list:
        with only_one(corpus.recipe_dir / "dump", wait=True):
            tests += add_test_speech(corpus.recipe_dir, args.train_set)
        corpus = dataclasses.replace(corpus, tests=tuple(tests))
    if args.utterances is not None:
        shapes = args.exp.resolve() / f"train_shapes_{args.utterances}"
        corpus = part_of(corpus, args.utterances, shapes)
    return corpus


@contextlib.contextmanager
def only_one(directory: Path, wait: bool = False) -> Iterator[None]:
    """Keep a second comparison out of the same directory.

    Args:
        directory: directory that both would write to.
        wait: whether to wait for the first to end.

    Raises:
        ValueError: one is running there, and ``wait`` is false.
    """
    with open(directory / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise ValueError(f"another comparison is running in {directory}") from None
        yield


def make_settings(args: argparse.Namespace, corpus: Corpus) -> configs.Settings:
    """Settings of all runs, checked against those that the directory holds."""
    settings = configs.Settings(
        exp=args.exp.resolve(),
        recipe_dir=corpus.recipe_dir,
        max_epoch=args.max_epoch,
        batches=1,
        target=args.target,
        dense_config=args.dense_config,
        train_args=args.train_args.split(),
        utterances=args.utterances,
    )
    config = configs.dense_config(settings, seed=1)
    settings.batches = batches_in_epoch(config, corpus)
    settings.keep()
    write_json(
        settings.exp / "rows.json",
        {
            run.name: dict(
                row=run.row,
                title=run.title,
                section=run.section,
                parts_by_width=parts_by_width(run, gate_options(run)),
            )
            for run in all_runs()
        },
    )
    return settings


def keep_sets(exp: Path, corpus: Corpus) -> None:
    """Write the sets to score; remove the scores of other sets.

    Rows that were scored on different speech must not stand side by side. Runs that
    lose their scores are missing from the tables until they are asked for again.
    """
    path = exp / "sets.json"
    sets = {name: [of, sorted(ids)] for name, (of, ids) in corpus.scored_sets().items()}
    if path.exists() and read_json(path) != sets:
        scored = list(exp.glob("seed*/*/done/score.json"))
        print(
            f"other sets to score than before: {len(scored)} models lose their scores"
        )
        for mark in scored:
            mark.unlink()
        for result in exp.glob("seed*/*/result.json"):
            result.unlink()
    write_json(path, sets)


def batches_in_epoch(config: configs.Config, corpus: Corpus) -> int:
    """Training batches in a pass through the data, by ESPnet's own sampler."""
    from espnet2.bin.asr_train import get_parser as training_parser

    from espnet_adaptive_dropout.plugin.epoch_length import steps_per_epoch

    config = {**config, "num_iters_per_epoch": None}
    before = os.getcwd()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(config, file)
        file.flush()
        words = [*corpus.training_arguments(), "--config", file.name]
        words += ["--output_dir", "unused"]
        os.chdir(corpus.recipe_dir)  # the arguments name files as the recipe does
        try:
            return steps_per_epoch(training_parser().parse_args(words))
        finally:
            os.chdir(before)


if __name__ == "__main__":
    main()
