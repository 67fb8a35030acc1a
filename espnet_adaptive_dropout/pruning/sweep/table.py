"""A sweep as a Markdown table."""

from __future__ import annotations

from typing import Any, Callable

from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.experiments.sizes import mac_length

Entry = dict[str, Any]
# Validation scores that have a column: title, factor, decimals
_VALIDATION = {
    "loss": ("valid loss", 1.0, 3),
    "acc": ("valid acc [%]", 100.0, 2),
    "cer_ctc": ("valid CER of CTC [%]", 100.0, 2),
    "cer": ("valid CER [%]", 100.0, 2),
    "wer": ("valid WER [%]", 100.0, 2),
}


def to_markdown(sweep: dict[str, Any]) -> str:
    """Render the content of sweep.json in Markdown."""
    entries: list[Entry] = sweep["sizes"]
    columns = _columns(entries)
    lines = [
        "# Sweep",
        "",
        f"`{sweep['model_file']}`, criterion `{sweep['criterion']}`. The first row is "
        f"the model at the size that its training left it at; the others are the same "
        f"checkpoint cut to other sizes, larger or smaller, and not trained further.",
        "",
        *table_lines(
            [title for title, _ in columns],
            [[cell(entry) for _, cell in columns] for entry in entries],
        ),
    ]
    return "\n".join(lines) + "\n"


def _columns(entries: list[Entry]) -> list[tuple[str, Callable[[Entry], str]]]:
    columns: list[tuple[str, Callable[[Entry], str]]] = [
        ("model", lambda e: e["name"]),
        ("removed [%]", lambda e: f"{100 * e['reduction']:.2f}"),
        ("encoder params", lambda e: f"{e['encoder_params']:,}"),
        ("all params", lambda e: f"{e['total_params']:,}"),
        (
            f"encoder MACs ({mac_length(entries[0])}) [M]",
            lambda e: f"{e['encoder_macs'] / 1e6:,.1f}",
        ),
    ]
    for key, (title, factor, decimals) in _VALIDATION.items():
        if any(key in entry.get("valid", {}) for entry in entries):
            columns.append((title, _score("valid", key, factor, decimals)))
    for kind in ("wer", "cer"):
        names = dict.fromkeys(n for entry in entries for n in entry.get(kind, {}))
        for name in names:
            columns.append((f"{kind.upper()} {name} [%]", _score(kind, name, 1.0, 2)))
    return columns


def _score(part: str, key: str, factor: float, decimals: int) -> Callable[[Entry], str]:
    def cell(entry: Entry) -> str:
        value = entry.get(part, {}).get(key)
        return "-" if value is None else f"{factor * value:.{decimals}f}"

    return cell
