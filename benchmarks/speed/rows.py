"""What is compared: one row for each form that an encoder can take."""

from __future__ import annotations

import dataclasses
import re
from typing import List, Optional, Tuple

STOCK = "stock"
COMPACT = "compact"
# Row -> what it is, for those that are not made by cutting.
WHOLE = {
    STOCK: "ESPnet's encoder",
    "gated": "adaptive dropout, not pruned, the paper's locations",
    "gated_all": "adaptive dropout, not pruned, all locations",
    # What the compact encoder's way to compute gives by itself.
    COMPACT: "compact encoder, nothing removed",
}
CHOICES = {
    "paper": "the paper's locations",
    "all": "all locations, even by location",
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
        name: as on the command line.
        base: name without the form.
        choice: who chose the units, key of CHOICES; None: all are there.
        target: share of the parameters that went; 0.0: none.
        form: key of FORMS.
    """

    name: str
    base: str
    choice: Optional[str]
    target: float
    form: str

    @property
    def title(self) -> str:
        """For people."""
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


def parse_rows(names: str) -> Tuple[Row, ...]:
    """Read a comma-separated list; the stock encoder comes first, always.

    Raises:
        ValueError: a name is unknown.
    """
    listed: List[str] = [STOCK, *(name.strip() for name in names.split(","))]
    return tuple(parse_row(name) for name in dict.fromkeys(filter(None, listed)))
