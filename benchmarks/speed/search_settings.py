"""Error rate and time of a trained model by the settings of its search.

``python -m benchmarks.speed.search_settings``, in the directory of a recipe. Every
utterance is recognised with all settings in turns, alone, by ESPnet's ``Speech2Text``
with the compact decoder and fast CTC scores, and once by CTC alone, where every frame
has its most likely token. Prints a Markdown table. On a busy machine, trust only the
ratios of the times.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import torch
from espnet2.bin.asr_inference import Speech2Text
from espnet2.tasks.asr import ASRTask
from tqdm import tqdm

from benchmarks.models.score import batches, collapse
from espnet_adaptive_dropout.bin.command import CommandLine, execute
from espnet_adaptive_dropout.decoders.fast_ctc import fast_ctc
from espnet_adaptive_dropout.experiments.encoder_entry import COMPACT_DECODER
from espnet_adaptive_dropout.experiments.experiment import load_config
from espnet_adaptive_dropout.experiments.files import write_yaml
from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.experiments.tables import read_table
from espnet_adaptive_dropout.pruning.sweep.errors import error_rates

RATE = 16000
GREEDY = ("greedy", "CTC alone")
Setting = tuple[str, str]  # beam and ctc_weight
Recognise = Callable[[torch.Tensor], str]


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.search_settings",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--train_config", type=Path, required=True, help="of a model with `transformer`"
    )
    add("--model_file", type=Path, required=True)
    add("--data", type=Path, nargs="+", required=True, help="data directories")
    add("--beam", type=int, nargs="+", default=[1, 2, 5, 10])
    add("--ctc_weight", type=float, nargs="+", default=[0.0, 0.3, 0.5])
    add("--threads", type=int, default=1)
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, measure and print."""
    execute("speed.search_settings", get_parser, measure, cmd)


@torch.no_grad()
def measure(args: argparse.Namespace) -> None:
    """Recognise all data with all settings and print a table.

    Raises:
        ValueError: the model or the data cannot be read, or a number is out of range.
    """
    if min(*args.beam, args.threads) < 1:
        raise ValueError("--beam and --threads must be above 0")
    torch.set_num_threads(args.threads)
    config = load_config(args.train_config)
    if config.get("decoder") not in ("transformer", COMPACT_DECODER):
        raise ValueError(f"{args.train_config}: decoder must be transformer")
    settings = recognisers(config, args.model_file, args.beam, args.ctc_weight)
    texts: dict[Setting, dict[str, str]] = {setting: {} for setting in settings}
    seconds = dict.fromkeys(settings, 0.0)
    references: dict[str, str] = {}
    samples = 0
    for name, reference, speech in _utterances(config, args.data):
        references[name] = reference
        samples += len(speech)
        for setting, recognise in settings.items():
            start = time.perf_counter()
            texts[setting][name] = recognise(speech)
            seconds[setting] += time.perf_counter() - start
    rows = []
    for setting, found in texts.items():
        rates = error_rates(references, found)
        factor = seconds[setting] * RATE / samples
        share = seconds[setting] / seconds[GREEDY]
        rows.append([*setting, f"{rates['wer']:.2f}", f"{factor:.3f}", f"{share:.1f}"])
    words = sum(len(text.split()) for text in references.values())
    print(f"\n{len(references)} utterances, {words} words, {samples / RATE:.0f} s\n")
    header = ["beam", "ctc_weight", "WER [%]", "real-time factor", "of greedy CTC's"]
    print("\n".join(table_lines(header, rows)), flush=True)


def recognisers(
    config: dict, model_file: Path, beams: list[int], ctc_weights: list[float]
) -> dict[Setting, Recognise]:
    """A function from speech (samples,) to text for every setting."""
    made: dict[Setting, Recognise] = {}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "config.yaml")
        write_yaml(file, {**config, "decoder": COMPACT_DECODER})
        for ctc_weight in ctc_weights:
            for beam in beams:
                one = Speech2Text(
                    str(file),
                    str(model_file),
                    beam_size=beam,
                    ctc_weight=ctc_weight,
                    lm_weight=0.0,
                )
                if ctc_weight:
                    fast_ctc(one)
                made[f"{beam}", f"{ctc_weight:g}"] = _search(one)
    made[GREEDY] = _greedy(one)
    return made


def _search(recogniser: Speech2Text) -> Recognise:
    def recognise(speech: torch.Tensor) -> str:
        found = recogniser(speech)
        return found[0][0] if found else ""

    return recognise


def _greedy(recogniser: Speech2Text) -> Recognise:
    model = recogniser.asr_model

    def recognise(speech: torch.Tensor) -> str:
        encoded, _ = model.encode(speech[None], torch.tensor([len(speech)]))
        encoded = encoded[0] if isinstance(encoded, tuple) else encoded
        ids = collapse(model.ctc.argmax(encoded)[0].tolist())
        tokens = recogniser.converter.ids2tokens(ids)
        return recogniser.tokenizer.tokens2text(tokens)

    return recognise


def _utterances(
    config: dict, data: list[Path]
) -> Iterator[tuple[str, str, torch.Tensor]]:
    """Name, reference and speech (samples,) of every utterance."""
    for directory in data:
        references = read_table(directory / "text")
        read = batches(ASRTask, config, directory, size=1)
        for names, batch in tqdm(read, str(directory), len(references), leave=False):
            yield names[0], references[names[0]], batch["speech"][0]


if __name__ == "__main__":
    main()
