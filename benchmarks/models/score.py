"""Decodes data sets with a model and counts its errors: one result.json a run.

Greedy CTC (the best token of every frame, repeats and blanks dropped) in batches,
in this process: a beam search finds hardly more in models of this size and costs
more than their training. It is the same for every row..
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from benchmarks.compare.corpus import transcripts
from espnet_adaptive_dropout.bin.command import CommandLine, execute

BATCH = 32


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--train_config", type=Path, required=True, help="config.yaml of the model")
    add("--model_file", type=Path, required=True)
    add("--sets", type=Path, required=True, help="JSON: name -> [data set, ids]")
    add("--valid", required=True, help="data set whose loss is reported")
    add("--output", type=Path, required=True, help="result.json")
    return parser


def main(cmd: CommandLine = None) -> None:
    """Parse ``cmd``, score and write."""
    execute("score", get_parser, score, cmd)


def score(args: argparse.Namespace) -> None:
    """Write the result of one model.

    Raises:
        ValueError: the model or the data cannot be read.
    """
    import torch

    from benchmarks.files import read_json, write_json
    from espnet_adaptive_dropout.experiments.experiment import (
        build_model,
        load_config,
        load_state,
        load_task,
        load_weights,
    )
    from espnet_adaptive_dropout.experiments.sizes import sizes

    task = load_task("asr")
    config = load_config(args.train_config)
    model = build_model(task, config)
    load_weights(model, load_state(args.model_file), str(args.model_file))
    if config.get("ngpu") and torch.cuda.is_available():
        model.cuda()
    wanted = read_json(args.sets)
    errors: Dict[str, Dict[str, int]] = {}
    loss = None
    for data in dict.fromkeys(name for name, _ in wanted.values()):
        with torch.inference_mode():
            texts, data_loss = decode(task, model, config, Path("dump/raw") / data)
        loss = data_loss if data == args.valid else loss
        for name, (of, ids) in wanted.items():
            if of == data:
                errors[name] = count_errors([texts[key] for key in ids])
    write_json(
        args.output,
        dict(
            model=str(args.model_file),
            sets=errors,
            valid_loss=loss,
            decoding="greedy CTC",
            checkpoints=averaged(args.model_file),
            **sizes(model.cpu()),
        ),
    )


def decode(
    task: type, model: Any, config: Dict[str, Any], data: Path
) -> Tuple[Dict[str, Tuple[str, str]], float]:
    """Greedy CTC over one data set.

    Returns:
        Utterance id -> (reference, hypothesis), and the mean loss per utterance.
    """
    from espnet2.text.build_tokenizer import build_tokenizer
    from espnet2.text.token_id_converter import TokenIDConverter

    converter = TokenIDConverter(token_list=config["token_list"])
    tokenizer = build_tokenizer(config["token_type"], bpemodel=config.get("bpemodel"))
    references = transcripts(data / "text")
    texts: Dict[str, Tuple[str, str]] = {}
    total = 0.0
    device = next(model.parameters()).device
    for names, batch in batches(task, config, data):
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        loss, _, _ = model(**batch)
        total += float(loss) * len(names)
        encoded, lengths = model.encode(batch["speech"], batch["speech_lengths"])
        encoded = encoded[0] if isinstance(encoded, tuple) else encoded
        best = model.ctc.argmax(encoded)
        for name, row, length in zip(names, best.tolist(), lengths.tolist()):
            tokens = converter.ids2tokens(collapse(row[:length]))
            texts[name] = (references[name], tokenizer.tokens2text(tokens))
    return texts, total / max(len(texts), 1)


def batches(
    task: type, config: Dict[str, Any], data: Path, size: int = BATCH
) -> Iterator:
    """Names of utterances and their batch, over one data set."""
    from espnet_adaptive_dropout.experiments.data import labelled_batches

    source = [(f"{data}/wav.scp", "speech", "sound"), (f"{data}/text", "text", "text")]
    return labelled_batches(task, config, source, size)


def collapse(path: List[int], blank: int = 0) -> List[int]:
    """Tokens of a CTC path: repeats merged, then blanks dropped."""
    merged = [token for i, token in enumerate(path) if i == 0 or token != path[i - 1]]
    return [token for token in merged if token != blank]


def count_errors(pairs: List[Tuple[str, str]]) -> Dict[str, int]:
    """Edit distances in words and characters over (reference, hypothesis) pairs."""
    import editdistance

    counts = dict(words=0, word_errors=0, chars=0, char_errors=0)
    for reference, hypothesis in pairs:
        said, heard = reference.split(), hypothesis.split()
        counts["words"] += len(said)
        counts["word_errors"] += int(editdistance.eval(said, heard))
        counts["chars"] += len(" ".join(said))
        counts["char_errors"] += int(editdistance.eval(" ".join(said), " ".join(heard)))
    return counts


def averaged(model_file: Path) -> int:
    """Number of checkpoints in an ESPnet averaged model, from its real name."""
    found = re.search(r"\.ave_(\d+)best\.", model_file.resolve().name)
    return int(found.group(1)) if found else 0


if __name__ == "__main__":
    main()
