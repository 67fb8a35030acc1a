"""Measures whole recognitions: ``python -m benchmarks.speed.recognition``.

Hybrid CTC/attention models of random weights, ESPnet's own and smaller or faster ones
of the same size, recognise the same noise in turns, by ESPnet's ``Speech2Text``. The
numbers of tokens are set, as random weights give texts of any length. Prints Markdown
tables with the parts of the time, and the memory. Run nothing else meanwhile; on a busy
machine use the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import torch
from espnet2.bin.asr_inference import Speech2Text

from benchmarks.speed.recognisers import FORMS, SIZES, recogniser
from benchmarks.speed.timing import (
    Device,
    Effort,
    Reading,
    medians,
    spread,
    take_turns,
)
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.report.memory import peak_bytes

RATE = 16000
BASE = "espnet"
PARTS = ("encoder", "decoder", "ctc")
_CTC_METHODS = (
    *("batch_init_state", "batch_score_partial"),
    *("select_state", "batch_select_state"),  # the latter not in every release
)
_HEADER = [
    *("audio", "beam", "model", "time", "of ESPnet's", "quartiles"),
    *("encoder", "decoder", "CTC scores", "the rest", "memory", "hypotheses"),
]


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.recognition",
        description=__doc__.splitlines()[0],
    )
    add = parser.add_argument
    add("--size", nargs="+", choices=SIZES, default=["960h"])
    add("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    add("--beam", type=int, nargs="+", default=[1, 5, 10, 20])
    add("--seconds", type=float, nargs="+", default=[10.0], help="of each utterance")
    add("--tokens_per_second", type=float, default=3.0)
    add("--ctc_weight", type=float, default=0.3)
    add("--threads", type=int, default=1)
    add("--minutes", type=float, default=10.0, help="for all: %(default)s")
    add("--rounds", type=int, default=20, help="at most, of each: %(default)s")
    add("--memory", action="store_true", help="measure the memory too; takes longer")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, measure and print."""
    execute("speed.recognition", get_parser, measure, cmd)


def measure(args: argparse.Namespace) -> None:
    """Measure and print a table for every size.

    Raises:
        ValueError: a number is out of range.
    """
    if min(args.rounds, args.threads, *args.beam) < 1 or args.minutes <= 0:
        raise ValueError("--rounds, --threads, --beam and --minutes must be above 0")
    if min(args.seconds) < 1 or args.tokens_per_second <= 0:
        raise ValueError("--seconds must be 1 or more, --tokens_per_second above 0")
    torch.set_num_threads(args.threads)
    forms = [BASE, *(name for name in args.forms if name != BASE)]
    settings = len(args.size) * len(args.beam) * len(args.seconds)
    effort = Effort(args.rounds, 60.0 * args.minutes / settings, least=3)
    for size in args.size:
        title = SIZES[size].title
        print(f"\n{title}, {args.threads} thread(s), {Device().description}\n")
        recognisers = {
            name: recogniser(SIZES[size], FORMS[name], args.ctc_weight)
            for name in forms
        }
        head, line, *_ = table_lines(_HEADER, [])
        print(f"{head}\n{line}")
        for seconds in args.seconds:
            for beam in args.beam:
                for row in _rows(recognisers, seconds, beam, effort, args):
                    print(table_lines(_HEADER, [row])[-1], flush=True)


def _rows(
    recognisers: dict[str, Speech2Text],
    seconds: float,
    beam: int,
    effort: Effort,
    args: argparse.Namespace,
) -> Iterator[list[str]]:
    """Measure one setting; yield the cells of a row for every model."""
    generator = torch.Generator().manual_seed(0)
    audio = 0.1 * torch.randn(int(seconds * RATE), generator=generator)
    tokens = max(1, int(seconds * args.tokens_per_second))
    texts: dict[str, list[list[int]]] = {}

    def recognise_with(name: str) -> None:
        texts[name] = recognise(recognisers[name], audio, tokens, beam)

    def timed(name: str) -> Reading:
        run = functools.partial(recognise_with, name)
        with timed_parts(recognisers[name]) as parts:
            wall = Device().time(run)["wall"]
        return {"wall": wall, **parts, "rest": wall - sum(parts.values())}

    runs = {name: functools.partial(timed, name) for name in recognisers}
    for one in recognisers.values():  # to warm up
        recognise(one, audio[:RATE], 1, beam)
    readings = take_turns(runs, effort, f"beam {beam}")
    for name, found in readings.items():
        memory = ""
        if args.memory:
            weights = recognisers[name].asr_model.state_dict().values()
            run = functools.partial(recognise_with, name)
            memory = f"{peak_bytes(run, weights) / 1e6:.0f} MB"
        same = "same" if texts[name] == texts[BASE] else "others"
        cells = _cells(found, readings[BASE])
        yield [f"{seconds:g} s", f"{beam}", FORMS[name].title, *cells, memory, same]


def recognise(
    recogniser: Speech2Text, audio: torch.Tensor, tokens: int, beam: int
) -> list[list[int]]:
    """Decode this number of tokens; return the tokens of the n-best list."""
    search = recogniser.beam_search
    search.beam_size, search.pre_beam_size = beam, int(1.5 * beam)
    # ESPnet's way to say how many tokens; no search ends earlier
    recogniser.maxlenratio = float(-tokens)
    recogniser.nbest = beam
    return [found[2] for found in recogniser(audio)]


@contextlib.contextmanager
def timed_parts(recogniser: Speech2Text) -> Iterator[Reading]:
    """Adds up the seconds that a recogniser spends in each of ``PARTS``.

    The encoder's include those of the features.
    """
    seconds = dict.fromkeys(PARTS, 0.0)
    scorers = recogniser.beam_search.scorers
    methods = {"decoder": ("batch_score",), "ctc": _CTC_METHODS}
    watched: list[tuple[str, Any, str]] = [("encoder", recogniser.asr_model, "encode")]
    for part in methods.keys() & scorers.keys():  # one of them may have no weight
        owner = scorers[part]
        watched += [(part, owner, n) for n in methods[part] if hasattr(owner, n)]
    for part, owner, name in watched:
        setattr(owner, name, _adding_up(seconds, part, getattr(owner, name)))
    try:
        yield seconds
    finally:
        for _, owner, name in watched:
            delattr(owner, name)


def _adding_up(seconds: Reading, part: str, function: Callable) -> Callable:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[part] += time.perf_counter() - start

    return call


def _cells(found: Sequence[Reading], base: Sequence[Reading]) -> list[str]:
    """Medians: the time, its ratio to ESPnet's with quartiles, and the parts."""
    middle = medians(found)
    ratio = spread([one["wall"] / other["wall"] for one, other in zip(found, base)])
    return [
        f"{middle['wall']:.2f} s",
        f"{ratio['median']:.0%}",
        f"{ratio['low']:.0%} to {ratio['high']:.0%}",
        *(f"{middle[part] / middle['wall']:.0%}" for part in (*PARTS, "rest")),
    ]


if __name__ == "__main__":
    main()
