"""The tables: how the results of each part are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from benchmarks.speed.choices import DEFAULT, STOCK, Row, parse_row, parse_rows
from benchmarks.speed.store import Results
from benchmarks.speed.timing import spread
from espnet_adaptive_dropout.experiments.markdown import table_lines

Column = tuple[str, Callable[[dict[str, Any]], str]]


def encoding_lines(results: Results, clock: str) -> list[str]:
    """Tables of the forward passes; empty if there are none."""
    if results.reference is None:
        return []
    settings = results.settings()
    rows = parse_rows(",".join(DEFAULT))
    names = {name for setting in settings for name in results.forward[setting]}
    names -= {row.name for row in rows}
    rows += tuple(parse_row(name) for name in sorted(names))
    content = dict(setting={}, rows=results.forward[results.reference])
    lines = ["", f"## Encoding, {results.reference}"]
    lines += content_lines("forward", content, rows, clock)
    if len(settings) > 1:
        tables = {
            f"b{s.batch}, {s.seconds:g} s, {s.threads} thr": results.forward[s]
            for s in settings
        }
        lines += ["", "## Encoding in every setting: of stock's time [%]", ""]
        lines += matrix_lines(tables, rows, "ratios", clock)
        lines += ["", "Time [ms]:", "", *matrix_lines(tables, rows, "seconds", clock)]
    widths = {f"width {s.size}": results.forward[s] for s in results.widths()}
    if len(widths) > 1:
        lines += ["", "## Encoders of other widths: of stock's time, and MACs [%]", ""]
        lines += matrix_lines(widths, rows, "both", clock)
    return lines


def part_lines(results: Results, clock: str) -> list[str]:
    """Tables of the other parts."""
    rows = parse_rows(",".join(DEFAULT))
    headings = dict(
        load="From file to ready", train="Training step", decode="Recognition"
    )
    lines: list[str] = []
    for part, heading in headings.items():
        for index, content in enumerate(getattr(results, part)):
            if not index:
                lines += ["", f"## {heading}"]
            lines += content_lines(part, content, rows, clock)
    return lines


def content_lines(
    part: str, content: dict[str, Any], rows: Sequence[Row], clock: str
) -> list[str]:
    """Heading and table of a setting; empty if nothing was measured.

    Args:
        part: "forward", "load", "train" or "decode".
        content: content of the setting's file.
        rows: rows in order; those without results are left out.
        clock: "wall" or "cpu".
    """
    there = content["rows"]
    names = [row.name for row in rows if row.name in there]
    if part == "train":
        names = list(there)
    if not names:
        return []
    columns = {
        "forward": _forward_columns,
        "load": _load_columns,
        "train": _train_columns,
        "decode": _decode_columns,
    }[part](content, clock)
    heading = ", ".join(f"{k} {v}" for k, v in content["setting"].items())
    lines = ["", f"{part}: {heading}", ""] if heading else [""]
    return lines + table(names, there, columns)


def table(
    names: Sequence[str], rows: dict[str, Any], columns: Sequence[Column]
) -> list[str]:
    """Markdown table with a line for each row."""
    cells = [
        [f"{parse_row(n).title} (`{n}`)", *(read(rows[n]) for _, read in columns)]
        for n in names
    ]
    return table_lines(["row", *(heading for heading, _ in columns)], cells)


def matrix_lines(
    tables: dict[str, dict[str, Any]], rows: Sequence[Row], what: str, clock: str
) -> list[str]:
    """Markdown table with a line for each row and a column for each setting.

    Args:
        tables: rows of every setting, by its heading.
        rows: rows in order; those without results are left out.
        what: "ratios" (to stock, percent), "seconds" (as milliseconds) or "both"
            (ratios of time and of MACs).
        clock: "wall" or "cpu".
    """

    def cell(name: str, there: dict[str, Any]) -> str:
        if name not in there:
            return "-"
        row = there[name]
        if what == "seconds":
            return f"{1e3 * spread(row['seconds'][clock])['median']:.0f}"
        of_time = f"{100 * ratio(row, clock):.1f}"
        of_macs = f"{100 * row['macs'] / there[STOCK]['macs']:.1f}"
        return of_time if what == "ratios" else f"{of_time}, {of_macs}"

    names = [r.name for r in rows if any(r.name in there for there in tables.values())]
    return table_lines(
        ["row", *tables],
        [[f"`{n}`", *(cell(n, there) for there in tables.values())] for n in names],
    )


def saved_share(
    row: dict[str, Any], stock: dict[str, Any], clock: str = "wall"
) -> float | None:
    """Share of time saved over share of MACs saved; None if no MACs are saved."""
    saved_macs = 1.0 - row["macs"] / stock["macs"]
    if saved_macs < 1e-3:
        return None
    return (1.0 - ratio(row, clock)) / saved_macs


def ratio(row: dict[str, Any], clock: str = "wall") -> float:
    """Time relative to the stock encoder, median over the rounds."""
    return spread(row["ratios"][clock])["median"]


def percentages(row: dict[str, Any], clock: str) -> dict[str, float]:
    """The ratios' median and quartiles in percent."""
    return {k: 100 * v for k, v in spread(row["ratios"][clock]).items()}


def _percent(row: dict[str, Any], clock: str) -> str:
    """The ratio with its quartiles: "61.5 (60.9-62.2)"."""
    of = percentages(row, clock)
    return f"{of['median']:.1f} ({of['low']:.1f}-{of['high']:.1f})"


def _milliseconds(row: dict[str, Any], clock: str) -> str:
    time = spread(row["seconds"][clock])
    return f"{1e3 * time['median']:.1f} ± {1e3 * time['deviation']:.1f}"


def _time_columns(clock: str) -> list[Column]:
    return [
        ("time [ms]", lambda row: _milliseconds(row, clock)),
        ("of stock [%]", lambda row: _percent(row, clock)),
    ]


def _forward_columns(content: dict[str, Any], clock: str) -> list[Column]:
    stock = content["rows"][STOCK]

    def saved(row: dict[str, Any]) -> str:
        share = saved_share(row, stock, clock)
        return "-" if share is None else f"{share:.2f}"

    def memory(row: dict[str, Any]) -> str:
        taken = row.get("activation_bytes")
        return "-" if taken is None else f"{taken / 1e6:.1f}"

    return [
        ("params", lambda row: f"{row['parameters'] / 1e6:.2f} M"),
        ("MACs", lambda row: f"{row['macs'] / 1e9:.2f} G"),
        ("of stock [%]", lambda row: f"{100 * row['macs'] / stock['macs']:.1f}"),
        *_time_columns(clock),
        ("time saved / MACs saved", saved),
        ("tensors, peak [MB]", memory),
    ]


def _load_columns(content: dict[str, Any], clock: str) -> list[Column]:
    return [
        ("file [MB]", lambda row: f"{row['file_bytes'] / 1e6:.1f}"),
        ("file to ready [s]", lambda row: f"{row['load_seconds']:.2f}"),
        ("first utterance [ms]", lambda row: f"{1e3 * row['first_seconds']:.0f}"),
        ("memory, peak [MB]", lambda row: f"{row['process_bytes'] / 1e6:.0f}"),
    ]


def _train_columns(content: dict[str, Any], clock: str) -> list[Column]:
    stock = content["rows"][STOCK]

    def memory(row: dict[str, Any]) -> str:
        share = row["peak_bytes"] / stock["peak_bytes"]
        return f"{row['peak_bytes'] / 1e6:.1f} ({100 * share:.1f} %)"

    def control(row: dict[str, Any]) -> str:
        share = row.get("control_share")
        return "-" if share is None else f"{100 * share[clock]:.2f}"

    return [
        *_time_columns(clock),
        ("tensors, peak [MB]", memory),
        ("size control, of stock's step [%]", control),
    ]


def _decode_columns(content: dict[str, Any], clock: str) -> list[Column]:
    def factor(row: dict[str, Any]) -> str:
        time = spread(row["seconds"][clock])["median"]
        return f"{time / row['audio_seconds']:.4f}"

    return [("RTF", factor), *_time_columns(clock)]
