"""Fast CTC prefix scores for all recognisers that a program makes.

It is the flag ``--fast_ctc`` of the runner: ESPnet's inference modules then make our
scorer where they would make ESPnet's. For one recogniser of a Python program, there is
``decoders.fast_ctc.fast_ctc``.
"""

from __future__ import annotations

from types import ModuleType

from espnet_adaptive_dropout.plugin.after_import import call_after_import


def install() -> None:
    """Let ESPnet's inference modules use the fast scores, now or when imported."""
    call_after_import(is_inference, use_fast_ctc)


def is_inference(name: str) -> bool:
    """Whether a module of this name may make recognisers."""
    return name.startswith("espnet2.bin.") and "_inference" in name


def use_fast_ctc(module: ModuleType) -> None:
    """Give an inference module our scorer in place of ESPnet's, if it has it."""
    from espnet_adaptive_dropout.compat import CTCPrefixScorer
    from espnet_adaptive_dropout.decoders.fast_ctc import FastCTCPrefixScorer

    name = CTCPrefixScorer.__name__
    if getattr(module, name, None) is CTCPrefixScorer:
        setattr(module, name, FastCTCPrefixScorer)
