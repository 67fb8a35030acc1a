"""The only module that knows where an ESPnet release keeps its parts.

ESPnet 202604 moved ``espnet.nets`` to ``espnet2.legacy.nets``; 202511 and older
have the former. What else differs between the two lines is answered here too.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder, check_short_utt

try:
    from espnet2.legacy.nets.pytorch_backend.conformer.convolution import (
        ConvolutionModule,
    )
    from espnet2.legacy.nets.pytorch_backend.conformer.swish import Swish
    from espnet2.legacy.nets.pytorch_backend.transformer.attention import (
        LegacyRelPositionMultiHeadedAttention,
        MultiHeadedAttention,
        RelPositionMultiHeadedAttention,
    )
    from espnet2.legacy.nets.pytorch_backend.transformer.embedding import (
        LegacyRelPositionalEncoding,
        PositionalEncoding,
        RelPositionalEncoding,
        ScaledPositionalEncoding,
    )
    from espnet2.legacy.nets.pytorch_backend.transformer.positionwise_feed_forward import (  # noqa: E501
        PositionwiseFeedForward,
    )
    from espnet2.legacy.nets.scorers.ctc import CTCPrefixScorer
except ImportError:
    from espnet.nets.pytorch_backend.conformer.convolution import ConvolutionModule
    from espnet.nets.pytorch_backend.conformer.swish import Swish
    from espnet.nets.pytorch_backend.transformer.attention import (
        LegacyRelPositionMultiHeadedAttention,
        MultiHeadedAttention,
        RelPositionMultiHeadedAttention,
    )
    from espnet.nets.pytorch_backend.transformer.embedding import (
        LegacyRelPositionalEncoding,
        PositionalEncoding,
        RelPositionalEncoding,
        ScaledPositionalEncoding,
    )
    from espnet.nets.pytorch_backend.transformer.positionwise_feed_forward import (
        PositionwiseFeedForward,
    )
    from espnet.nets.scorers.ctc import CTCPrefixScorer

__all__ = [
    "CONVOLUTION_TAKES_MASK",
    "CTCPrefixScorer",
    "ConformerEncoder",
    "ConvolutionModule",
    "LegacyRelPositionMultiHeadedAttention",
    "LegacyRelPositionalEncoding",
    "MultiHeadedAttention",
    "PositionalEncoding",
    "PositionwiseFeedForward",
    "RelPositionMultiHeadedAttention",
    "RelPositionalEncoding",
    "ScaledPositionalEncoding",
    "Swish",
    "TransformerDecoder",
    "adopt",
    "check_short_utt",
    "mask_padded_frames",
    "rename_subsampling_output",
    "set_subsampling_output",
    "stock_options",
    "subsampling_output",
]

# Newer releases zero padded frames before the depthwise convolution.
CONVOLUTION_TAKES_MASK = (
    "mask_pad" in inspect.signature(ConvolutionModule.forward).parameters
)


def mask_padded_frames(x: torch.Tensor, mask_pad: torch.Tensor | None) -> torch.Tensor:
    """Zero padded frames of ``x`` (#batch, time, channels), in releases that do.

    Args:
        x: input of a depthwise convolution.
        mask_pad: (#batch, 1, time), true on real frames; None leaves ``x`` alone.
    """
    if mask_pad is None or not CONVOLUTION_TAKES_MASK:
        return x
    return x.masked_fill(~mask_pad.bool().transpose(1, 2), 0.0)


def stock_options(
    options: dict[str, Any],
    stock: type[torch.nn.Module] = ConformerEncoder,
    conf: str = "encoder_conf",
) -> dict[str, Any]:
    """Leave out the options that a class of the installed ESPnet does not have.

    Args:
        options: keyword arguments meant for ``stock``.
        stock: ESPnet's class.
        conf: config option that holds ``options``.

    Raises:
        ValueError: such an option is switched on.
    """
    known = inspect.signature(stock.__init__).parameters
    missing = {name: value for name, value in options.items() if name not in known}
    for name, value in missing.items():
        if value:
            raise ValueError(
                f"{conf}.{name}={value!r}: the installed ESPnet's "
                f"{stock.__name__} has no option {name}; leave it out or upgrade ESPnet"
            )
    return {name: value for name, value in options.items() if name not in missing}


def adopt(module: torch.nn.Module, stock: torch.nn.Module) -> None:
    """Let ``module`` take over all attributes, parameters and parts of ``stock``.

    ``module`` is of a subclass of the class of ``stock``; ``stock`` must not
    be used afterwards.
    """
    torch.nn.Module.__init__(module)
    module.__dict__.update(stock.__dict__)


def rename_subsampling_output(
    state_dict: dict[str, torch.Tensor], prefix: str, embed: torch.nn.Module
) -> None:
    """Give the subsampling's output layer the name the installed ESPnet uses.

    ESPnet 202604 renamed ``embed.out.0.*`` to ``embed.out.*``. ``--init_param``
    merges a checkpoint into the model's own state, so that a checkpoint of another
    release leaves both names there: the checkpoint's is the one that ``embed``
    does not know, and it wins.

    Args:
        state_dict: changed in place.
        prefix: of the keys of ``embed``, for example "encoder.embed.".
        embed: the input layer.
    """
    out = getattr(embed, "out", None)
    if out is None:
        return
    nested = isinstance(out, torch.nn.Sequential)
    for name in ("weight", "bias"):
        old, new = f"{prefix}out.0.{name}", f"{prefix}out.{name}"
        theirs, ours = (new, old) if nested else (old, new)
        if theirs in state_dict:
            state_dict[ours] = state_dict.pop(theirs)


def subsampling_output(embed: torch.nn.Module) -> torch.nn.Linear:
    """The output layer of a convolutional input layer."""
    return embed.out[0] if isinstance(embed.out, torch.nn.Sequential) else embed.out


def set_subsampling_output(embed: torch.nn.Module, layer: torch.nn.Linear) -> None:
    """Replace what :func:`subsampling_output` gives."""
    if isinstance(embed.out, torch.nn.Sequential):
        embed.out[0] = layer
    else:
        embed.out = layer
