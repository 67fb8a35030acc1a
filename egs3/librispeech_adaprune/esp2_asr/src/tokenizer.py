"""Text that the tokens are learnt from."""

from __future__ import annotations

from pathlib import Path

from espnet_adaptive_dropout.experiments.tables import read_table


def gather_training_text(text: str | Path) -> list[str]:
    """The sentences of a Kaldi ``text`` file, without their names."""
    return [sentence for sentence in read_table(text).values() if sentence]
