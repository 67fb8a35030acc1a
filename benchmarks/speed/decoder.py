"""Measures decoding with both decoders: ``python -m benchmarks.speed.decoder``.

ESPnet's ``transformer`` decoder and ``compact_transformer`` recognise the same noise
with the same random weights, in turns, by ESPnet's ``Speech2Text``. The numbers of
tokens are set, as random weights give texts of any length. Prints Markdown tables; the
defaults take about five minutes. Run nothing else meanwhile; on a busy machine use the
ratios.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import torch
from espnet2.bin.asr_inference import Speech2Text
from espnet2.tasks.asr import ASRTask

from benchmarks.speed.timing import Device, Effort, Reading, spread, time_in_turns
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.experiments.encoder_entry import COMPACT_DECODER
from espnet_adaptive_dropout.experiments.experiment import build_model
from espnet_adaptive_dropout.experiments.files import write_yaml

RATE = 16000
STOCK = "transformer"
DECODERS = (STOCK, COMPACT_DECODER)


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of a hybrid CTC/attention model.

    Args:
        title: whose size it is.
        width: size of the encoder output.
        heads: attention heads of encoder and decoder.
        hidden: hidden units of the feed-forward modules.
        encoder: number of encoder blocks.
        decoder: number of decoder layers.
        tokens: size of the vocabulary.
    """

    title: str
    width: int
    heads: int
    hidden: int
    encoder: int
    decoder: int
    tokens: int


SIZES = {
    "tiny": Size("tests", 16, 4, 24, 1, 2, 30),
    "100h": Size("ESPnet's Conformer for LibriSpeech 100 h", 256, 4, 2048, 12, 6, 5000),
    "960h": Size("ESPnet's Conformer for LibriSpeech 960 h", 512, 8, 2048, 12, 6, 5000),
}


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.decoder", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--size", nargs="+", choices=SIZES, default=["960h"])
    add("--beam", type=int, nargs="+", default=[1, 5, 10, 20])
    add("--seconds", type=float, nargs="+", default=[10.0], help="of each utterance")
    add("--tokens_per_second", type=float, default=3.0)
    add("--ctc_weight", type=float, default=0.3)
    add("--threads", type=int, default=1)
    add("--minutes", type=float, default=5.0, help="for all: %(default)s")
    add("--rounds", type=int, default=20, help="at most, of each: %(default)s")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, measure and print."""
    execute("speed.decoder", get_parser, measure, cmd)


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
    settings = len(args.size) * len(args.beam) * len(args.seconds)
    effort = Effort(args.rounds, 60.0 * args.minutes / settings, least=3)
    for name in args.size:
        print(
            f"\n{SIZES[name].title}, {args.threads} thread(s), {Device().description}\n"
        )
        print(
            "| audio | beam | ESPnet | compact | ratio | quartiles | same hypotheses |"
        )
        print("|---:|---:|---:|---:|---:|---:|---|")
        with tempfile.TemporaryDirectory() as directory:
            recognisers = make_recognisers(SIZES[name], Path(directory), args)
        for seconds in args.seconds:
            audio = 0.1 * torch.randn(int(seconds * RATE), generator=_generator())
            tokens = max(1, int(seconds * args.tokens_per_second))
            for beam in args.beam:
                print(row(recognisers, audio, tokens, beam, effort), flush=True)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def config_of(size: Size, decoder: str) -> dict[str, Any]:
    """Training config of a hybrid model with this decoder."""
    config = vars(ASRTask.get_parser().parse_args([]))
    words = [f"w{index}" for index in range(size.tokens - 3)]
    config.update(
        encoder="conformer",
        encoder_conf=dict(
            output_size=size.width,
            attention_heads=size.heads,
            linear_units=size.hidden,
            num_blocks=size.encoder,
            input_layer="conv2d",
            macaron_style=True,
            rel_pos_type="latest",
            cnn_module_kernel=31,
        ),
        decoder=decoder,
        decoder_conf=dict(
            attention_heads=size.heads,
            linear_units=size.hidden,
            num_blocks=size.decoder,
        ),
        specaug=None,
        normalize=None,
        model_conf=dict(ctc_weight=0.3, report_cer=False, report_wer=False),
        token_list=["<blank>", "<unk>", *words, "<sos/eos>"],
        token_type="word",
    )
    return config


def make_recognisers(
    size: Size, directory: Path, args: argparse.Namespace
) -> dict[str, Speech2Text]:
    """ESPnet's recognisers with both decoders and the same random weights."""
    torch.manual_seed(0)
    model = build_model(ASRTask, config_of(size, STOCK))
    model_file = directory / "model.pth"
    torch.save(model.state_dict(), model_file)
    recognisers = {}
    for decoder in DECODERS:
        config_file = directory / f"{decoder}.yaml"
        write_yaml(config_file, config_of(size, decoder))
        recognisers[decoder] = Speech2Text(
            str(config_file),
            str(model_file),
            ctc_weight=args.ctc_weight,
            lm_weight=0.0,
        )
    return recognisers


def row(
    recognisers: dict[str, Speech2Text],
    audio: torch.Tensor,
    tokens: int,
    beam: int,
    effort: Effort,
) -> str:
    """Measure one setting; return a row of the table.

    Args:
        recognisers: by decoder.
        audio: samples.
        tokens: number of tokens that are decoded.
        beam: beam size.
        effort: how long to measure.
    """
    results: dict[str, list] = {}

    def recognising(name: str) -> Callable[[], None]:
        def run() -> None:
            results[name] = recognise(recognisers[name], audio, tokens, beam)

        return run

    runs = {name: recognising(name) for name in recognisers}
    readings = time_in_turns(runs, Device().time, effort, f"beam {beam}")
    same = bool(results[STOCK]) and results[STOCK] == results[COMPACT_DECODER]
    return table_row(readings, len(audio) / RATE, beam, same)


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


def table_row(
    readings: dict[str, Sequence[Reading]], seconds: float, beam: int, same: bool
) -> str:
    """A row of the table: medians of the times, and their ratio with quartiles."""
    stock, compact = ([r["wall"] for r in readings[name]] for name in DECODERS)
    ratio = spread([one / other for one, other in zip(compact, stock)])
    cells = (
        f"{seconds:g} s",
        f"{beam}",
        *(f"{spread(times)['median']:.2f} s" for times in (stock, compact)),
        f"{ratio['median']:.0%}",
        f"{ratio['low']:.0%} to {ratio['high']:.0%}",
        "yes" if same else "NO",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
