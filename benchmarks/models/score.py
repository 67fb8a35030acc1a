"""Decodes data sets with a model and counts its errors, for result.json.

Models with CTC alone by greedy CTC (the most likely token of every frame, without
repeats and blanks), in batches: a beam search finds little more in models of this size
and takes longer than their training. Models with an attention decoder by ESPnet's
search.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.experiments.tables import read_table

BATCH = 32
SEARCH = dict(beam_size=5, ctc_weight=0.3, lm_weight=0.0)


def score(args: argparse.Namespace) -> None:
    """Decode all sets with one model and write its result.

    Raises:
        ValueError: the model or the data cannot be read.
    """
    import torch

    from benchmarks.compare.configs import has_decoder
    from benchmarks.files import read_json, write_json
    from espnet_adaptive_dropout.experiments.sizes import sizes
    from espnet_adaptive_dropout.pruning.sweep.errors import error_counts

    task, config, model = open_model(args.train_config, args.model_file)
    if config.get("ngpu") and torch.cuda.is_available():
        model.cuda()
    searches = has_decoder(config)
    wanted = read_json(args.sets)
    errors: dict[str, dict[str, int]] = {}
    loss = None
    for data in dict.fromkeys(name for name, _ in wanted.values()):
        with torch.inference_mode():
            texts, data_loss = decode(task, model, config, Path("dump/raw") / data)
            if searches:
                files = args.train_config, args.model_file
                texts = search(*files, Path("dump/raw") / data)
        loss = data_loss if data == args.valid else loss
        for name, (of, ids) in wanted.items():
            if of == data:
                errors[name] = error_counts(
                    *({key: texts[key][side] for key in ids} for side in (0, 1))
                )
    write_json(
        args.output,
        dict(
            model=str(args.model_file),
            sets=errors,
            valid_loss=loss,
            decoding=f"search, {SEARCH}" if searches else "greedy CTC",
            checkpoints=averaged(args.model_file),
            **sizes(model.cpu()),
        ),
    )


def open_model(train_config: Path, model_file: Path) -> tuple[type, dict, Any]:
    """Task, config and trained model of an ESPnet experiment.

    Raises:
        ValueError: they cannot be read or do not match.
    """
    from espnet_adaptive_dropout.experiments.experiment import (
        build_model,
        load_config,
        load_state,
        load_task,
        load_weights,
    )

    task, config = load_task("asr"), load_config(train_config)
    model = build_model(task, config)
    load_weights(model, load_state(model_file), str(model_file))
    return task, config, model


def decode(
    task: type, model: Any, config: dict[str, Any], data: Path
) -> tuple[dict[str, tuple[str, str]], float]:
    """Greedy CTC over one data set.

    Returns:
        Utterance id -> (reference, hypothesis), and the mean loss per utterance.
    """
    from espnet2.text.build_tokenizer import build_tokenizer
    from espnet2.text.token_id_converter import TokenIDConverter

    converter = TokenIDConverter(token_list=config["token_list"])
    tokenizer = build_tokenizer(config["token_type"], bpemodel=config.get("bpemodel"))
    references = read_table(data / "text")
    texts: dict[str, tuple[str, str]] = {}
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


def search(
    train_config: Path, model_file: Path, data: Path
) -> dict[str, tuple[str, str]]:
    """Decode one data set with ESPnet's search, as ``SEARCH`` says, on a CPU.

    Returns:
        Utterance id -> (reference, hypothesis).
    """
    import soundfile
    from espnet2.bin.asr_inference import Speech2Text

    recognise = Speech2Text(str(train_config), str(model_file), **SEARCH)
    references = read_table(data / "text")
    texts = {}
    for name, path in read_table(data / "wav.scp").items():
        speech, _ = soundfile.read(path, dtype="float32")
        texts[name] = references[name], recognise(speech)[0][0]
    return texts


def batches(
    task: type, config: dict[str, Any], data: Path, size: int = BATCH
) -> Iterator:
    """Names of utterances and their batch, for all of one data set."""
    from espnet_adaptive_dropout.experiments.data import labelled_batches

    source = [(f"{data}/wav.scp", "speech", "sound"), (f"{data}/text", "text", "text")]
    return labelled_batches(task, config, source, size)


def collapse(path: list[int], blank: int = 0) -> list[int]:
    """Tokens of a CTC path: repeats merged, then blanks dropped."""
    merged = [token for i, token in enumerate(path) if i == 0 or token != path[i - 1]]
    return [token for token in merged if token != blank]


def averaged(model_file: Path) -> int:
    """Number of checkpoints in an ESPnet averaged model, from its real name."""
    found = re.search(r"\.ave_(\d+)best\.", model_file.resolve().name)
    return int(found.group(1)) if found else 0
