"""Text that the tokens are learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import List, Union


def gather_training_text(text: Union[str, Path]) -> List[str]:
    """The sentences of a Kaldi ``text`` file, without their names."""
    lines = Path(text).read_text(encoding="utf-8").splitlines()
    return [line.split(maxsplit=1)[1] for line in lines if len(line.split()) > 1]
