"""Reading the results that stages 12 and 13 leave in an experiment."""

from __future__ import annotations

import re
from pathlib import Path


def summary_cells(result: Path) -> list[str] | None:
    """Return the figures of a result.txt's Sum/Avg line.

    Args:
        result: The file, written by sclite or by score_trn.py.

    Returns:
        Snt, Wrd, Corr, Sub, Del, Ins, Err, S.Err; None when there is no such line.
    """
    for line in result.read_text(encoding="utf-8", errors="replace").splitlines():
        if "Sum/Avg" in line:
            return re.findall(r"[0-9.]+", line.split("Sum/Avg")[1])
    return None


def result_files(experiment: Path, score: str) -> list[tuple[str, Path]]:
    """Return (inference tag/set, result.txt) of one score, sorted by name."""
    found = experiment.glob(f"*/**/score_{score}/result.txt")
    pairs = [
        (path.parent.parent.relative_to(experiment).as_posix(), path) for path in found
    ]
    return sorted(pairs)


def rtf_of(decoded: Path) -> float | None:
    """Return the real-time factor of a decoded set's directory, if it is known."""
    log = decoded / "logdir" / "calculate_rtf.log"
    if not log.is_file():
        return None
    found = re.search(r"^RTF: ([0-9.]+)", log.read_text(encoding="utf-8"), re.M)
    return float(found[1]) if found else None
