"""One size control for the units of encoder and decoder (``of: model``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.control.size_control import SizeControl
from espnet_adaptive_dropout.stacks.adaptive import AdaptiveStack
from espnet_adaptive_dropout.units.cost import Cost
from espnet_adaptive_dropout.units.table import UnitTable

# Options that each has for its own gates
_OF_GATES = ("gate", "initial_logit", "temperature", "forward")
# Other options that may differ from the usual in the decoder
_OWN = ("of", "locations", "total_steps", "accum_grad", "history_dir", "logit_scale")


def join(stacks: Sequence[AdaptiveStack]) -> None:
    """Let the size control of the encoder steer the decoder too, if both ask for it.

    Args:
        stacks: encoder and decoder of a model that have adaptive dropout, in this
            order; changed in place.

    Raises:
        ValueError: only one of them has ``of: model``, or their options differ, or
            the target is above the bound.
    """
    asking = [stack for stack in stacks if stack.adaptive_dropout_conf.of == "model"]
    if not asking:
        return
    if len(asking) < 2:
        raise ValueError(
            f"{asking[0].kind}_conf.adaptive_dropout_conf.of: model needs the encoder "
            f"adaptive_dropout_conformer and the decoder adaptive_dropout_transformer, "
            f"both with of: model"
        )
    encoder, decoder = asking
    config = encoder.adaptive_dropout_conf
    _check_same(config, decoder.adaptive_dropout_conf)
    table = UnitTable.joined([encoder.units, decoder.units])
    cost = table.parameters
    if config.cost == "macs":
        cost = Cost.joined([stack.mac_cost(config) for stack in asking])
    encoder.control = SizeControl(config, table, cost)
    # Not as a part of the decoder: its state is in the encoder.
    decoder.__dict__["shared_control"] = encoder.control


def _check_same(encoder: AdaptiveDropoutConfig, decoder: AdaptiveDropoutConfig) -> None:
    """Refuse options of the decoder that differ, or have no effect, by a ValueError."""
    usual = AdaptiveDropoutConfig()
    for field in dataclasses.fields(encoder):
        name, other = field.name, getattr(decoder, field.name)
        mine = getattr(encoder, name)
        allowed = (mine,) if name in _OF_GATES else (mine, getattr(usual, name))
        if name not in _OWN and other not in allowed:
            raise ValueError(
                f"decoder_conf.adaptive_dropout_conf.{name}={other!r}, but "
                f"encoder_conf has {mine!r}: with of: model both must be the same"
            )
