"""The encoders that are timed: their sizes, and a row for each form.

No data are needed: the configs are those of ESPnet ASR models fed with features.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

INPUT_SIZE = 80
FRAMES_PER_SECOND = 100
VOCABULARY = 500

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


def encoder_options(size: str) -> dict[str, Any]:
    """``encoder_conf`` of the stock encoder of this size."""
    common = dict(
        dropout_rate=0.1,
        positional_dropout_rate=0.1,
        attention_dropout_rate=0.1,
        input_layer="conv2d",
        macaron_style=True,
        rel_pos_type="latest",
        cnn_module_kernel=31,
    )
    return {**common, **SIZES[size]}


def asr_config(size: str, **options: Any) -> dict[str, Any]:
    """Training config of a CTC model with the stock encoder, fed with features.

    Args:
        size: key of SIZES.
        **options: more options of ESPnet's ASR task.
    """
    from espnet2.tasks.asr import ASRTask

    # Not ESPnet's get_default_config, which reads this program's command line.
    config = vars(ASRTask.get_parser().parse_args([]))
    words = [f"w{index}" for index in range(VOCABULARY - 3)]
    config.update(
        encoder="conformer",
        encoder_conf=encoder_options(size),
        decoder=None,
        frontend=None,
        input_size=INPUT_SIZE,
        normalize=None,
        specaug=None,
        model_conf=dict(ctc_weight=1.0, report_cer=False, report_wer=False),
        token_list=["<blank>", "<unk>", *words, "<sos/eos>"],
        token_type="word",
        **options,
    )
    return config


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
