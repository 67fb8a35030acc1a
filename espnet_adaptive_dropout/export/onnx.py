"""Encoders as ONNX: written, quantised, and run with onnxruntime."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import torch

from espnet_adaptive_dropout.experiments.experiment import first_line
from espnet_adaptive_dropout.experiments.files import replacing
from espnet_adaptive_dropout.export.positions import free_positions
from espnet_adaptive_dropout.modules.compact_attention import CompactAttention

OPSET = 17
# Inputs and outputs of the graph, in order.
FEATURES, LENGTHS = "features", "lengths"
OUTPUT, OUTPUT_LENGTHS = "output", "output_lengths"
# Lengths of the utterances that the exporter follows through the encoder; the graph
# fits any others.
_EXAMPLE = (180, 131)


class _EncoderGraph(torch.nn.Module):
    """The encoder as it is exported: ``lengths`` alone determines the real frames."""

    def __init__(self, encoder: torch.nn.Module, options: dict[str, Any]):
        super().__init__()
        self.encoder = encoder
        self.options = options
        modules = [v for v in options.values() if isinstance(v, torch.nn.Module)]
        self.others = torch.nn.ModuleList(modules)

    def state_dict(
        self,
        *args: Any,
        destination: dict[str, torch.Tensor] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, torch.Tensor]:
        """The weights as they are, whatever shapes the encoder saves them in.

        The exporter must find in it the tensors that the encoder computes with.
        """
        destination = {} if destination is None else destination
        for name, tensor in (*self.named_parameters(), *self.named_buffers()):
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        return destination

    def forward(
        self, features: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        frames = torch.arange(features.size(1), device=features.device)
        # ESPnet's own mask would not follow the input's length in the graph.
        padding = frames[None, :] >= lengths[:, None]
        output, output_lengths, _ = self.encoder(
            features, lengths, masks=padding, **self.options
        )
        if isinstance(output, tuple):  # with intermediate CTC outputs
            output = output[0]
        return output, output_lengths


def export_onnx(
    encoder: torch.nn.Module,
    input_size: int,
    path: Path,
    options: dict[str, Any] | None = None,
) -> None:
    """Write an encoder as ONNX, in evaluation mode, for any length and batch size.

    The graph takes ``features``, float32 (#batch, frames, input_size), and
    ``lengths``, int64 (#batch,), and gives ``output``, float32 (#batch, time, size),
    and ``output_lengths``, int64 (#batch,). An encoder that reads tokens has int64
    (#batch, tokens) for ``features``.

    Args:
        encoder: an ESPnet Conformer, stock or compact, on the CPU; not changed.
        input_size: dimension of the features.
        path: file to write; complete or not there.
        options: other arguments of the encoder, constant, such as ``ctc``.

    Raises:
        ValueError: onnx is missing, or the encoder cannot be exported.
        OSError: the file cannot be written.
    """
    _need("onnx")
    graph = _EncoderGraph(*copy.deepcopy((encoder, options or {}))).eval()
    free_positions(graph.encoder)
    _separate_heads(graph.encoder)
    example = (_features(encoder, input_size), torch.tensor(_EXAMPLE))
    try:
        with replacing(path) as partial, torch.no_grad(), _quiet():
            _trace(graph, example, partial)
    except OSError:
        raise
    except Exception as error:
        reason = first_line(error)[:200]
        raise ValueError(f"the encoder cannot be exported as ONNX: {reason}") from error


def _trace(graph: torch.nn.Module, example: tuple, path: Path) -> None:
    torch.onnx.export(
        graph,
        example,
        str(path),
        # By tracing: torch.export would fix some lengths and needs a package more.
        dynamo=False,
        opset_version=OPSET,
        input_names=[FEATURES, LENGTHS],
        output_names=[OUTPUT, OUTPUT_LENGTHS],
        dynamic_axes={
            FEATURES: {0: "batch", 1: "frames"},
            LENGTHS: {0: "batch"},
            OUTPUT: {0: "batch", 1: "time"},
            OUTPUT_LENGTHS: {0: "batch"},
        },
    )


def _separate_heads(encoder: torch.nn.Module) -> None:
    """Let compact attentions take heads of unequal width one by one, in place.

    onnxruntime is slow at collecting single units, as several heads side by side
    need it.
    """
    for module in encoder.modules():
        if isinstance(module, CompactAttention) and module.in_order is not None:
            if not all(grid.is_plain for grid in module.value_grids):
                widths = enumerate(module.value_widths)
                module.set_groups([[head] for head, width in widths if width])


def _features(encoder: torch.nn.Module, input_size: int) -> torch.Tensor:
    """Example features of the kind that the encoder reads."""
    shape = (len(_EXAMPLE), max(_EXAMPLE))
    first = next(iter(encoder.embed.children()), None) if encoder.embed else None
    if isinstance(first, torch.nn.Embedding):
        return torch.ones(shape, dtype=torch.long)
    return torch.randn(*shape, input_size, generator=torch.Generator().manual_seed(0))


def quantize_onnx(path: Path, int8_path: Path) -> None:
    """Write a form of ``path`` whose matrix products run in int8.

    Weights of matrix products are stored in 8 bits, with a scale for each output;
    what they multiply is quantised as it comes. Convolutions stay in float32, which
    onnxruntime computes faster than integer ones.

    Args:
        path: ONNX file in float32.
        int8_path: file to write; complete or not there.

    Raises:
        ValueError: onnx or onnxruntime is missing.
        OSError: the file cannot be written.
    """
    _need("onnx")
    _need("onnxruntime")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with replacing(int8_path) as partial, _quiet():
        quantize_dynamic(
            str(path),
            str(partial),
            op_types_to_quantize=["MatMul", "Gemm"],
            # Signed weights overflow on CPUs without VNNI: ten times the error.
            weight_type=QuantType.QUInt8,
            per_channel=True,
        )


class OnnxEncoder:
    """An exported encoder, run by onnxruntime on the CPU.

    Args:
        path: ONNX file.
        threads: number of threads for one product.

    Raises:
        ValueError: onnxruntime is missing, or cannot read the file.
    """

    def __init__(self, path: Path, threads: int = 1):
        _need("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own exceptions have no common base
            reason = first_line(error)[:200]
            raise ValueError(f"{path}: onnxruntime cannot read it: {reason}") from error

    def __call__(
        self, features: numpy.ndarray, lengths: numpy.ndarray
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Run the encoder.

        Args:
            features: float32 (#batch, frames, size).
            lengths: int64 (#batch,).

        Returns:
            Output, float32 (#batch, time, size), and lengths, int64 (#batch,).
        """
        output, output_lengths = self.session.run(
            [OUTPUT, OUTPUT_LENGTHS], {FEATURES: features, LENGTHS: lengths}
        )
        return output, output_lengths


def _need(package: str) -> None:
    """Raise a ValueError that says what to install if ``package`` is not there."""
    try:
        __import__(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ValueError(
            f"{package} is missing: pip install onnx onnxruntime "
            f'(or "espnet-adaptive-dropout[export]")'
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter warns of in every Conformer.

    That is branches on shapes that do not differ, and that there is a newer exporter.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
