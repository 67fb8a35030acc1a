"""The report of an export in Markdown."""

from __future__ import annotations

from typing import Any

from espnet_adaptive_dropout.experiments.markdown import table_lines
from espnet_adaptive_dropout.experiments.sizes import MAC_SECONDS

TITLES = {
    "pytorch": "PyTorch",
    "pytorch_int8": "PyTorch, int8 (`--quantize_asr_model`)",
    "onnx": "ONNX",
    "onnx_int8": "ONNX, int8",
}


def to_markdown(report: dict[str, Any]) -> str:
    """Render the report of :func:`export.export`."""
    forms = report["forms"]
    timed = bool(report["rounds"])
    lines = [
        "# Exported encoder",
        "",
        f"{report['encoder_params']:,} parameters, from {report['model_file']}.",
        "",
        *_table(forms, timed),
        "",
        _how_compared(report),
        "",
    ]
    if timed:
        lines += [_how_timed(report), ""]
    if "onnx" in forms:
        lines += [_how_called(report), ""]
    made_with = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    return "\n".join([*lines, f"Made with {made_with}."]) + "\n"


def _table(forms: dict[str, Any], timed: bool) -> list[str]:
    times = ["CPU time [ms]", "of PyTorch"] if timed else []
    headings = ["form", "file", "size [MB]", *times]
    rows = []
    for name, row in forms.items():
        cells = [TITLES[name], row["file"] or "-", f"{row['bytes'] / 1e6:.2f}"]
        if timed:
            seconds = row["seconds"]["median"]
            share = seconds / forms["pytorch"]["seconds"]["median"]
            cells += [f"{1e3 * seconds:.1f}", f"{share:.0%}"]
        difference = row["difference"]
        exact = name == "pytorch"
        for key in ("largest", "relative", "mean"):
            cells.append("-" if exact else f"{difference[key]:.1e}")
        rows.append(cells)
    headings += ["largest difference", "relative", "mean"]
    return table_lines(headings, rows, left=(0, 1))


def _how_compared(report: dict[str, Any]) -> str:
    frames = [length for batch in report["batches"] for length in batch]
    sizes = sorted({len(batch) for batch in report["batches"]})
    return (
        f"Compared on {report['compared_on']}: {len(report['batches'])} batches of "
        f"{', '.join(map(str, sizes))} utterances of {min(frames)} to {max(frames)} "
        f"frames, padded ones among them. *Relative*: the largest difference by the "
        f"largest output; *mean*: root mean squares. ONNX in float32 is only kept if "
        f"its relative difference is at most {report['tolerance']:g}. The size of a "
        f"form without a file is that of the encoder's weights in a checkpoint."
    )


def _how_timed(report: dict[str, Any]) -> str:
    return (
        f"Times are of one utterance of {MAC_SECONDS:.0f} s: medians of "
        f"{report['rounds']} runs with {report['threads']} thread(s), the forms taking "
        f"turns."
    )


def _how_called(report: dict[str, Any]) -> str:
    features = "int64 (batch, tokens)"
    if report["input_size"]:
        features = (
            f"float32 (batch, frames, {report['input_size']}), normalised as the "
            f"model's encoder gets them"
        )
    return (
        f"ONNX (opset {report['opset']}): `features`, {features}, and "
        f"`lengths`, int64 (batch,), give `output`, float32 (batch, time, size), and "
        f"`output_lengths`, int64 (batch,). Any length and batch size; what lies "
        f"beyond an utterance's length has no part in its output."
    )
