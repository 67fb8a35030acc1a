"""Registers the encoders, decoders and models in ESPnet's class registries.

Importing an ESPnet task costs seconds and a gigabyte, so nothing is imported here:
our classes are registered right after a task module has been imported for whatever
reason (see ``after_import``).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from espnet_adaptive_dropout.plugin.after_import import call_after_import

ESPNET = "espnet2"
TASK_PACKAGE = "espnet2.tasks."
ESPNET3_TASK = "espnet3.systems.esp2_asr.task"
# What ESPnet2's Lightning trainer makes of a model.
LIGHTNING_MODEL = "espnet2.train.lightning_espnet_model"


def is_hooked_module(name: str) -> bool:
    """Whether a module of this name is changed right after its import."""
    named = (ESPNET, ESPNET3_TASK, LIGHTNING_MODEL)
    return name.startswith(TASK_PACKAGE) or name in named


def register(module: ModuleType) -> None:
    """Make our classes known to a task module that offers the stock ones.

    Encoders go wherever ``conformer`` is ESPnet's ConformerEncoder, and decoders
    wherever ``transformer`` is ESPnet's TransformerDecoder. The module's
    registry of models, if it has one, gets the default model with the penalty as
    ``adaptive_dropout``. The module's tasks are told to give every model with our
    encoder the penalty (see ``task_hooks``), as some of ESPnet's tasks have no
    registry of models, or do not use it. ``espnet2`` itself is told its version where
    it is not the installed one (see ``espnet_version``). May be called again.
    """
    if module.__name__ == ESPNET:
        from espnet_adaptive_dropout.plugin.espnet_version import correct_version

        correct_version(module)
        return
    if module.__name__ == LIGHTNING_MODEL:
        from espnet_adaptive_dropout.plugin.task_hooks import hook_lightning

        hook_lightning(module)
        return
    from espnet2.train.class_choices import ClassChoices

    registries = [v for v in vars(module).values() if isinstance(v, ClassChoices)]
    if not any("conformer" in registry.classes for registry in registries):
        return
    from espnet_adaptive_dropout.plugin.task_hooks import hook_tasks

    _register_classes(registries)
    hook_tasks(module)


def _register_classes(registries: Sequence) -> None:
    from espnet2.train.abs_espnet_model import AbsESPnetModel

    from espnet_adaptive_dropout.compat import ConformerEncoder, TransformerDecoder
    from espnet_adaptive_dropout.decoders.adaptive import (
        AdaptiveDropoutTransformerDecoder,
    )
    from espnet_adaptive_dropout.decoders.compact import CompactTransformerDecoder
    from espnet_adaptive_dropout.encoders.adaptive import (
        AdaptiveDropoutConformerEncoder,
    )
    from espnet_adaptive_dropout.encoders.compact import CompactConformerEncoder
    from espnet_adaptive_dropout.encoders.penalised_model import penalised
    from espnet_adaptive_dropout.experiments.encoder_entry import (
        ADAPTIVE,
        ADAPTIVE_DECODER,
        COMPACT,
        COMPACT_DECODER,
        EXPORTED,
        EXPORTED_DECODER,
        MODEL,
    )

    for registry in registries:
        if registry.classes.get("conformer") is ConformerEncoder:
            registry.classes[ADAPTIVE] = AdaptiveDropoutConformerEncoder
            registry.classes[COMPACT] = CompactConformerEncoder
            registry.classes[EXPORTED] = CompactConformerEncoder
        if registry.classes.get("transformer") is TransformerDecoder:
            registry.classes[ADAPTIVE_DECODER] = AdaptiveDropoutTransformerDecoder
            registry.classes[COMPACT_DECODER] = CompactTransformerDecoder
            registry.classes[EXPORTED_DECODER] = CompactTransformerDecoder
        model = registry.classes.get(registry.default)
        if registry.name == "model" and issubclass(model or object, AbsESPnetModel):
            registry.classes[MODEL] = penalised(model)


def install() -> None:
    """Register now in the task modules that are loaded and later in the others."""
    call_after_import(is_hooked_module, register)
