"""What is timed: the encoders, a row for each form, and the settings."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence

# encoder_conf of each size; "256" is the reference, the others show what width does.
SIZES: dict[str, dict[str, int]] = {
    "tiny": dict(
        output_size=16,
        linear_units=48,
        num_blocks=3,
        attention_heads=4,
        cnn_module_kernel=3,
    ),
    "144": dict(output_size=144, linear_units=576, num_blocks=12, attention_heads=4),
    "256": dict(output_size=256, linear_units=1024, num_blocks=12, attention_heads=4),
    "512": dict(output_size=512, linear_units=2048, num_blocks=12, attention_heads=8),
}
REFERENCE = "256"

STOCK = "stock"
COMPACT = "compact"
# Row -> title, for encoders that are not pruned
WHOLE = {
    STOCK: "ESPnet's encoder",
    "gated": "adaptive dropout, not pruned, the paper's locations",
    "gated_all": "adaptive dropout, not pruned, all locations",
    # Shows what the compact encoder's computation gains without any pruning.
    COMPACT: "compact encoder, nothing removed",
}
CHOICES = {
    "paper": "the paper's locations",
    "all": "all locations, even by location",
    "paper8": "the paper's locations, widths that are multiples of 8",
    "paper16": "the paper's locations, widths that are multiples of 16",
    "all8": "all locations, even by location, widths that are multiples of 8",
    "all16": "all locations, even by location, widths that are multiples of 16",
    "torch_pruning": "Torch-Pruning",
}
FORMS = {
    "": "",
    "int8": "dynamic int8",
    "onnx": "ONNX",
    "onnx_int8": "ONNX int8",
}
DEFAULT = [
    *WHOLE,
    *("paper_30", "paper_54", "paper_70"),
    *("all_30", "all_54", "all_70"),
    "torch_pruning_54",
    *("stock_int8", "paper_54_int8", "all_54_int8"),
    *("stock_onnx", "paper_54_onnx", "all_54_onnx"),
    *("stock_onnx_int8", "paper_54_onnx_int8", "all_54_onnx_int8"),
]

_ROW = re.compile(
    rf"(?P<base>{'|'.join(sorted(WHOLE, reverse=True))}"
    rf"|(?P<choice>{'|'.join(CHOICES)})_(?P<percent>\d+))"
    r"(?:_(?P<form>int8|onnx|onnx_int8))?"
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One form of an encoder.

    Args:
        name: name on the command line.
        base: name without the form.
        choice: how units were chosen, key of CHOICES; None: all are kept.
        target: share of the parameters removed.
        form: key of FORMS.
    """

    name: str
    base: str
    choice: str | None
    target: float
    form: str

    @property
    def title(self) -> str:
        """Title in tables and plots."""
        if self.choice is None:
            title = WHOLE[self.base]
        else:
            title = f"{100 * self.target:.0f} % removed, {CHOICES[self.choice]}"
        return f"{title}, {FORMS[self.form]}" if self.form else title


def parse_row(name: str) -> Row:
    """Read a row's name, for example ``paper_54_int8``.

    Raises:
        ValueError: there is no such row.
    """
    found = _ROW.fullmatch(name)
    percent = int(found["percent"] or 0) if found else 100
    if not found or percent >= 100:
        raise ValueError(
            f"--rows {name}: no such row; choose of {', '.join(WHOLE)} and "
            f"{', '.join(f'{choice}_NN' for choice in CHOICES)} (NN: percent "
            f"removed), each also with _int8, _onnx or _onnx_int8"
        )
    return Row(name, found["base"], found["choice"], percent / 100, found["form"] or "")


def parse_rows(names: str) -> tuple[Row, ...]:
    """Read a comma-separated list; the stock encoder comes first, always.

    Raises:
        ValueError: a name is unknown.
    """
    listed: list[str] = [STOCK, *(name.strip() for name in names.split(","))]
    return tuple(parse_row(name) for name in dict.fromkeys(filter(None, listed)))


GRIDS = ("quick", "default", "full")
LENGTHS = (5.0, 10.0, 20.0, 30.0)
# Rows of the plot over the width
WIDTH_ROWS = ("stock", "compact", "gated", "paper_54", "all_54")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting in which encoders are timed.

    Args:
        size: key of SIZES.
        batch: number of utterances.
        seconds: length of each.
        threads: number of threads of PyTorch and ONNX Runtime.
        device: name.
        dtype: see ``Device``.
    """

    size: str
    batch: int
    seconds: float
    threads: int
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def key(self) -> str:
        """Name of its results' file."""
        return (
            f"{self.size}_{self.device}_{self.dtype}_batch{self.batch}"
            f"_{self.seconds:g}s_{self.threads}threads"
        )

    def __str__(self) -> str:
        device = "" if self.device == "cpu" else f", {self.device} {self.dtype}"
        return (
            f"width {self.size}, batch {self.batch}, {self.seconds:g} s, "
            f"{self.threads} thread{'s' if self.threads > 1 else ''}{device}"
        )

    @property
    def weight(self) -> float:
        """Time to measure this setting, relative to others."""
        return 20.0 + self.batch * self.seconds


def processors() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def named_grid(name: str, size: str, **device: str) -> list[Setting]:
    """The settings of a grid.

    Args:
        name: one of GRIDS; "quick": one setting; "default": one utterance of every
            length, and a batch and all threads at ten seconds; "full": all of each
            with all. The last two also have other widths.
        size: size of the encoder.
        **device: ``device`` and ``dtype`` of Setting.
    """
    if name == "quick":
        return [Setting(size, 1, 10.0, 1, **device)]
    every = (1,) if processors() == 1 else (1, processors())
    settings = [
        Setting(size, batch, seconds, threads, **device)
        for threads in (every[:1] if device["device"] != "cpu" else every)
        for batch in (1, 8)
        for seconds in LENGTHS
    ]
    if name == "default":
        settings = [
            s for s in settings if s.seconds == 10.0 or (s.batch, s.threads) == (1, 1)
        ]
    others = [other for other in SIZES if other not in ("tiny", size)]
    if size == REFERENCE:
        settings += [Setting(other, 1, 10.0, 1, **device) for other in others]
    return settings


def chosen_grid(
    size: str,
    batches: Sequence[int],
    lengths: Sequence[float],
    threads: Sequence[str],
    **device: str,
) -> list[Setting]:
    """Every combination of the given values.

    Args:
        size: size of the encoder, key of SIZES.
        batches: numbers of utterances.
        lengths: seconds.
        threads: numbers, or "all".
        **device: ``device`` and ``dtype`` of Setting.

    Raises:
        ValueError: a number is not positive, or not a number.
    """
    counts = [str(processors()) if number == "all" else number for number in threads]
    for number in counts:
        if not number.isdigit() or int(number) < 1:
            raise ValueError(f"--threads {number}: must be a number above 0, or 'all'")
    if min(batches) < 1 or min(lengths) < 1.0:
        raise ValueError("--batch and --seconds must be 1 or more")
    return [
        Setting(size, batch, seconds, int(count), **device)
        for count in dict.fromkeys(counts)
        for batch in batches
        for seconds in lengths
    ]
