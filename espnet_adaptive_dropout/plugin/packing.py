"""Adds the model card and the files of pruning to a packed model.

``asr.sh --python "python3 -m espnet_adaptive_dropout"`` packs through the runner in
stage 14; the zip then also has the model card, and what pruning left beside the model.
"""

from __future__ import annotations

from pathlib import Path

from espnet_adaptive_dropout.experiments.model_card import write_model_card

# Files of an experiment that are packed where they are there
_FILES = (
    *("plan.yaml", "certificate.json", "report.md", "report.json"),
    *("compress.md", "compress.json"),
)


def with_pruning_files(arguments: list[str]) -> list[str]:
    """Return the arguments of ``espnet2.bin.pack`` with further ``--option`` files.

    The experiment is the directory of the training config (``--asr_train_config`` and
    the like, but not that of the language model); its model card is written.
    """
    values = _values(arguments)
    names = [
        name
        for name in values
        if name.endswith("train_config") and name != "lm_train_config"
    ]
    if len(names) != 1 or "outpath" not in values:
        return arguments
    experiment = Path(values[names[0]]).parent
    if not (experiment / "config.yaml").is_file():
        return arguments
    card = write_model_card(experiment, Path(values["outpath"]).name)
    files = [card, *(experiment / name for name in _FILES)]
    more = [
        word for path in files if path.is_file() for word in ("--option", str(path))
    ]
    return [*arguments, *more]


def _values(arguments: list[str]) -> dict[str, str]:
    """Return the last value of each ``--name value`` or ``--name=value``."""
    values = {}
    for word, following in zip(arguments, [*arguments[1:], ""]):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            values[name] = value if equals else following
    return values
