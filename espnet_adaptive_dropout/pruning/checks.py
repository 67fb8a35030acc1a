"""Checks that a checkpoint is final, complete, and belongs to its config."""

from __future__ import annotations

import logging
from pathlib import Path

from espnet_adaptive_dropout.experiments.calibration import teacher_forced_inputs
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.part import Part, Section
from espnet_adaptive_dropout.pruning.trained import Trained
from espnet_adaptive_dropout.units.locations import ALIASES, LOCATIONS, expand
from espnet_adaptive_dropout.units.removal_order import uneven_group

LOGGER = logging.getLogger(__name__)

# Largest difference between the target of the config and the frozen size, as a share
# of the encoder; beyond it the config has been changed after the training
SIZE_DIFFERENCE = 0.005


def check_frozen(part: Part, model_file: Path, allow_unfrozen: bool) -> None:
    """Refuse a checkpoint from before the training froze its size.

    Args:
        part: the encoder or the decoder.
        model_file: path of the checkpoint.
        allow_unfrozen: warn about a size that is not final instead.

    Raises:
        ValueError: the size is not final, or the checkpoint averages epochs from
            before and after the freeze.
    """
    frozen = part.frozen
    if frozen in (None, 1.0) or not part.options.freezes:
        return
    if frozen != 0.0:
        raise ValueError(
            f"{model_file}: averages checkpoints from before and after the "
            f"size was frozen; average later epochs (best_model_criterion on "
            f"final_acc or final_loss)"
        )
    text = f"{model_file}: the training had not frozen its size yet"
    if not allow_unfrozen:
        raise ValueError(
            f"{text}; take a later checkpoint, or insist with --allow_unfrozen true"
        )
    LOGGER.warning("%s", text)


def check_gates(part: Part, model_file: Path) -> None:
    """Refuse a checkpoint whose gates are not those of its config.

    Args:
        part: the encoder or the decoder.
        model_file: path of the checkpoint.

    Raises:
        ValueError: a location has a gate in some blocks only, a location of the
            config has no gate, or a location that has gates is not in the config.
    """
    if not part.is_adaptive:
        return
    keys = _gate_keys(part)
    found = {name: [key in part.state for key in keys[name]] for name in keys}
    if not any(map(any, found.values())):
        return
    names = part.options.locations
    names = [names] if isinstance(names, str) else names
    plain = set(names or []) - set(ALIASES)
    for name, present in found.items():
        if (any(present) or name in plain) and not all(present):
            missing = keys[name][present.index(False)]
            raise ValueError(
                f"{model_file}: {missing} is missing, so that the units of "
                f"this gate are unknown; take another checkpoint of the training"
            )
        if names is not None and any(present) and name not in expand(names):
            raise ValueError(
                f"{model_file}: has gates of {name}, which "
                f"adaptive_dropout_conf.locations of the config does not name: was "
                f"the config changed after the training?"
            )


def _gate_keys(part: Part) -> dict[str, list[str]]:
    """Return the names of the gates' logits in the checkpoint, by location."""
    number = part.entry.options(part.config).get("num_blocks", 6)
    if not isinstance(number, int):
        raise ValueError(
            f"{part.entry.conf}.num_blocks={number!r} is not a whole number"
        )
    blocks = [f"{part.kind}s.{index}." for index in range(number)]
    return {
        location.name: [
            f"{part.entry.prefix}{owner}{location.module}.{location.gate}.logits"
            for owner in ([""] if location.in_input_layer else blocks)
        ]
        for location in LOCATIONS.values()
        if location.stack == part.kind
    }


def check_frozen_size(section: Section, model_file: Path) -> None:
    """Refuse a config whose target or widths are not those of the frozen units.

    A cut in bundles of ``multiple_of`` units may miss its target by half the cost of
    the costliest bundle, where the locations have no cheaper ones.

    Args:
        section: the encoder or the decoder.
        model_file: path of the checkpoint.

    Raises:
        ValueError: the sizes differ by more than ``SIZE_DIFFERENCE`` and two units
            or half a bundle, or a width is no multiple of ``multiple_of``.
    """
    cost = section.cost()
    target = section.options.target_reduction
    frozen = section.table.reduction(section.own_keep(), cost)
    multiple_of = section.options.multiple_of
    units = max(2.0, multiple_of / 2) * float(cost.per_unit.max()) / cost.total
    if abs(frozen - target) > SIZE_DIFFERENCE + units:
        raise ValueError(
            f"{model_file}: was frozen with {frozen:.1%} of the {section.name}'s "
            f"{cost.name} removed, but the config says target_reduction={target}: was "
            f"it changed after the training? --target_reduction {frozen:.2f} cuts "
            f"what was trained"
        )
    group = uneven_group(section.table, section.own_keep(), multiple_of)
    if group is not None:
        raise ValueError(
            f"{model_file}: was frozen with widths of {group.location} that "
            f"are no multiples of {multiple_of}, but the config says "
            f"multiple_of={multiple_of}: was it changed after the training? Set it "
            f"back; --multiple_of {multiple_of} cuts to other widths"
        )


def check_repair(trained: Trained, options: PruneOptions) -> None:
    """Refuse ``--repair true`` of a decoder without its texts, with a ValueError."""
    if not options.repair or trained.part("decoder") is None:
        return
    try:
        teacher_forced_inputs(
            trained.task, trained.model, trained.config, 1, options.data
        )
    except ValueError as error:
        raise ValueError(f"--repair true: {error}") from None
    except TypeError as error:  # a model of s2t reads three texts
        raise ValueError(
            f"--repair true: the data lack what the decoder is trained on ({error}); "
            f"add --data PATH,NAME,text"
        ) from None
