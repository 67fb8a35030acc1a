"""Style of all plots: sizes of a paper's columns, grey only, safe saving."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import matplotlib
from matplotlib.figure import Figure

from espnet_adaptive_dropout.experiments.files import replacing

# Widths of one and of two columns of a paper, inches.
COLUMN = 3.5
PAGE = 7.16
DPI = 200

_SETTINGS = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "hatch.linewidth": 0.6,
    # Text stays text in PDF files.
    "pdf.fonttype": 42,
}

# Line styles that differ in dashes, marker and grey, not in hue.
LINES: list[dict] = [
    dict(color="black", linestyle="-", marker="o", markerfacecolor="black"),
    dict(color="0.35", linestyle="--", marker="s", markerfacecolor="white"),
    dict(color="0.55", linestyle="-.", marker="^", markerfacecolor="0.55"),
    dict(color="black", linestyle=":", marker="D", markerfacecolor="white"),
    dict(color="0.35", linestyle="-", marker="v", markerfacecolor="0.35"),
    dict(color="0.55", linestyle="--", marker="P", markerfacecolor="white"),
]

# The errors that ESPnet logs in validation: ESPnet's name -> label with unit, and
# what converts ESPnet's number to that unit. Best first: what comes earlier says more
# about recognition.
VALIDATION_ERRORS: dict[str, tuple[str, Callable]] = {
    "wer": ("WER [%]", lambda x: 100.0 * x),
    "cer": ("CER [%]", lambda x: 100.0 * x),
    "cer_ctc": ("CER of greedy CTC [%]", lambda x: 100.0 * x),
    "acc": ("token error, 1 − accuracy [%]", lambda x: 100.0 * (1.0 - x)),
    "loss": ("loss [nats]", lambda x: x),
}

# Names of locations for people.
LOCATION_NAMES = {
    "ffn_macaron": "feed-forward 1",
    "query": "queries",
    "value": "values",
    "conv_input": "convolution input",
    "conv_channel": "convolution channels",
    "subsampling_1": "subsampling 1",
    "subsampling_2": "subsampling 2",
    "ffn": "feed-forward 2",
    "self_query": "self-attention queries",
    "self_value": "self-attention values",
    "source_query": "source queries",
    "source_value": "source values",
    "decoder_ffn": "feed-forward",
    "all": "all locations",
}


def location_name(location: str) -> str:
    """Name of a location for people."""
    return LOCATION_NAMES.get(location, location)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function that draws a figure: it draws in this style."""

    @functools.wraps(draw)
    def draw_in_style(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return draw_in_style


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size, inches, that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


def line_style(index: int) -> dict:
    """Style of the curve of this index; repeats after six."""
    return LINES[index % len(LINES)]


def save(figure: Figure, path: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write a figure under ``path`` with the suffix of each format.

    Args:
        figure: figure to write.
        path: path without suffix.
        formats: "png" (200 dpi), "pdf" or both.

    Returns:
        The files, each complete or not there.

    Raises:
        OSError: the file cannot be written.
    """
    written = []
    for name in formats:
        final = path.with_name(f"{path.name}.{name}")
        with replacing(final) as partial, matplotlib.rc_context(_SETTINGS):
            figure.savefig(partial, dpi=DPI, format=name)
        written.append(final)
    return written
