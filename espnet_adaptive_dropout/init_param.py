"""Leaves gates and clock out of ``--init_param``: a new training starts them new."""

from __future__ import annotations

from typing import List, Optional

from espnet_adaptive_dropout.checkpoint import is_gate_weight
from espnet_adaptive_dropout.experiment import load_state


def without_old_gates(
    init_param: Optional[List[str]], arguments: List[str]
) -> List[str]:
    """Exclude the weights of gates and size control from ``--init_param``.

    Args:
        init_param: what ESPnet's parser read from ``arguments``:
            "path:source:target:excluded" items.
        arguments: a training command line.

    Returns:
        The command line with the names of such weights among the excluded ones.

    Raises:
        ValueError: a checkpoint cannot be read.
    """
    if not init_param:
        return arguments
    items = [_exclude_gates(item) for item in init_param]
    kept: List[str] = []
    skipping = False
    for argument in arguments:
        if argument.startswith("--"):
            skipping = argument.split("=")[0] == "--init_param"
        if not skipping:
            kept.append(argument)
    return kept + ["--init_param", *items]


def _exclude_gates(item: str) -> str:
    path, source, target, excluded = (item.split(":") + ["", "", ""])[:4]
    try:
        state = load_state(path)
    except ValueError as error:
        raise ValueError(f"--init_param {error}") from None
    gates = [key for key in state if is_gate_weight(key)]
    if not gates:
        return item
    names = ",".join(filter(None, [excluded, *gates]))
    return f"{path}:{source}:{target}:{names}"
