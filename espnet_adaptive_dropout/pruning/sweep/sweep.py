"""Cuts one checkpoint to many sizes and scores each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from espnet_adaptive_dropout.experiments.files import (
    check_output_dir,
    directory_lock,
    write_json,
    write_text,
)
from espnet_adaptive_dropout.experiments.tables import read_table
from espnet_adaptive_dropout.pruning.checks import check_repair
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.sweep.cuts import Cutter, SizedModel
from espnet_adaptive_dropout.pruning.sweep.decoding import Decoder, TestSet
from espnet_adaptive_dropout.pruning.sweep.errors import error_rates
from espnet_adaptive_dropout.pruning.sweep.reuse import digests, stored
from espnet_adaptive_dropout.pruning.sweep.table import to_markdown
from espnet_adaptive_dropout.pruning.sweep.validation import (
    check_data,
    validate,
    validation_files,
)


@dataclasses.dataclass
class SweepOptions:
    """Options of a sweep, as ``bin.sweep`` takes them.

    Args:
        train_config: config.yaml of the training.
        model_file: checkpoint of the training.
        output_dir: directory for sweep.json, sweep.md and a directory for each size.
        targets: shares to remove, of what ``cut.of`` names.
        cut: options of pruning; their ``data`` are also the validation data.
        task: name of a module of ``espnet2.tasks``.
        validate: whether to run the validation pass.
        batch_size: batch size of the validation where the config has none.
        decoder: decoder of the test sets; None: nothing is decoded.
        test_sets: sets to decode.
        ngpu: 0 or 1, for scoring and for criteria that need data.
    """

    train_config: Path
    model_file: Path
    output_dir: Path
    targets: list[float]
    cut: PruneOptions
    task: str = "asr"
    validate: bool = True
    batch_size: int = 8
    decoder: Decoder | None = None
    test_sets: list[TestSet] = dataclasses.field(default_factory=list)
    ngpu: int = 0


def sweep(options: SweepOptions) -> dict[str, Any]:
    """Cut to all sizes and score them; results of an earlier run are kept.

    Returns:
        The content of sweep.json, which is written, with sweep.md, after each score.

    Raises:
        ValueError: the model, the options or the data are refused, or another run
            is writing the directory.
        OSError: a file cannot be read or written.
    """
    check_output_dir(options.output_dir).parent.mkdir(parents=True, exist_ok=True)
    with directory_lock(options.output_dir):
        return _sweep(options)


def _sweep(options: SweepOptions) -> dict[str, Any]:
    trained = open_trained(
        options.train_config,
        options.model_file,
        options.task,
        options.cut.data,
        "cuda" if options.ngpu else "cpu",
        options.cut.allow_unfrozen,
        options.cut.of,
    )
    check_repair(trained, options.cut)
    if options.validate:
        check_data(trained.task, trained.config, options.cut.data, options.batch_size)
    cutter = Cutter(trained, options.train_config, options.cut, options.output_dir)
    cuts = cutter.cut_all(options.targets, print)
    rows = [cutter.as_trained(), *cuts]
    entries: list[dict[str, Any]] = [{"name": row.name, **row.facts} for row in rows]
    result = {
        "train_config": str(options.train_config),
        "model_file": str(options.model_file),
        "criterion": options.cut.criterion,
        "criterion_conf": options.cut.criterion_conf,
        "sizes": entries,
    }
    _write(result, options.output_dir)
    for row, entry in zip(rows, entries):
        if options.validate:
            entry["valid"] = _validate(row, trained.task, options)
            loss = entry["valid"].get("loss", float("nan"))
            print(f"{row.name}: validation loss {loss:.4g}")
            _write(result, options.output_dir)
        for test_set in options.test_sets:
            if options.decoder is None:
                break
            rates = _decode(row, test_set, options.decoder)
            for kind in ("wer", "cer"):
                entry.setdefault(kind, {})[test_set.name] = rates[kind]
            print(f"{row.name}: {test_set.name}: WER {rates['wer']:.2f} %")
            _write(result, options.output_dir)
    return result


def _validate(row: SizedModel, task: type, options: SweepOptions) -> dict[str, float]:
    config, model = row.load()
    files = validation_files(config, options.cut.data)
    sources = {
        "model": row.sources,
        "data": options.cut.data,
        "files": digests(path for path in map(Path, files) if path.is_file()),
        "batch_size": options.batch_size,
    }
    return stored(
        row.directory / "validation.json",
        sources,
        lambda: validate(
            task, config, model, options.cut.data, options.batch_size, options.ngpu
        ),
    )


def _decode(row: SizedModel, test_set: TestSet, decoder: Decoder) -> dict[str, float]:
    sources = {
        "model": row.sources,
        "data": test_set.data,
        "files": digests([decoder.inference_config, test_set.scp, test_set.references]),
    }
    directory = row.directory / decoder.inference_config.stem / test_set.name

    def score() -> dict[str, float]:
        references = read_table(test_set.references)
        texts = decoder.decode(row.config_file, row.model_file, test_set, directory)
        try:
            return error_rates(references, texts)
        except ValueError as error:
            raise ValueError(f"{test_set.references}: {error}") from None

    return stored(directory / "scores.json", sources, score)


def _write(result: dict[str, Any], directory: Path) -> None:
    write_json(directory / "sweep.json", result)
    write_text(directory / "sweep.md", to_markdown(result))
