"""Makes ESPnet's recognisers compute their CTC prefix scores faster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch

from espnet_adaptive_dropout.compat import CTCPrefixScorer
from espnet_adaptive_dropout.decoders.ctc_scores import PrefixScores
from espnet_adaptive_dropout.decoders.ctc_states import Candidates

_SEARCHES = ("beam_search", "asr_beam_search")  # the latter of st


class FastCTCPrefixScorer(CTCPrefixScorer):
    """ESPnet's CTCPrefixScorer, with the same scores and states in less time.

    This holds for all searches that score the hypotheses of a beam together, with a
    window and without. ESPnet's ``BeamSearch``, which scores them one by one, runs at
    ESPnet's speed, and so does a search on Apple's GPUs, which have no float64.
    """

    impl: Any

    def __init__(self, *args: Any, **kwargs: Any):
        """Take the arguments of ESPnet's."""
        super().__init__(*args, **kwargs)
        logging.getLogger(__name__).info("CTC prefix scores: FastCTCPrefixScorer")

    def batch_init_state(
        self, x: torch.Tensor, xs_lengths: torch.Tensor | None = None
    ) -> None:
        """Take the encoder output of one or several utterances.

        Args:
            x: (time, size) or (utterances, time, size).
            xs_lengths: frames of every utterance, in releases that decode several.
        """
        lengths = {} if xs_lengths is None else {"xs_lengths": xs_lengths}
        super().batch_init_state(x, **lengths)
        if x.device.type != "mps":
            self.impl = PrefixScores(self.impl)

    def select_state(self, state: Any, i: Any, new_id: Any = None) -> Any:
        """Return the state of a hypothesis.

        Args:
            state: what was scored, or the states of all hypotheses.
            i: index of the hypothesis, in the former case of that which it continues.
            new_id: its last label, if it has just been scored.
        """
        if not isinstance(state, Candidates):
            return super().select_state(state, i, new_id)
        r, scores, *peaks = state.select(
            *(torch.as_tensor([int(id)], device=state.x.device) for id in (i, new_id))
        )
        return r[:, :, 0], scores[0], *peaks


def fast_ctc(recogniser: Any) -> None:
    """Let a recogniser compute its CTC prefix scores faster from now on.

    Args:
        recogniser: ``Speech2Text`` or ``Text2Text`` of one of ESPnet's inference
            modules (asr, st, s2t, slu, mt, streaming), or one of its searches.

    Raises:
        ValueError: its search has no CTC prefix scores.
    """
    scorers = list(_stock_scorers(recogniser))
    if not scorers:
        raise ValueError(
            "fast_ctc: the recogniser has no CTC prefix scores: its model has no CTC "
            "or a transducer, ctc_weight is 0, or the search is time-synchronous"
        )
    for scorer in scorers:
        scorer.__class__ = FastCTCPrefixScorer


def _stock_scorers(recogniser: Any) -> Iterator[CTCPrefixScorer]:
    searches = (getattr(recogniser, name, None) for name in _SEARCHES)
    for search in (recogniser, *searches):
        for scorer in (getattr(search, "scorers", None) or {}).values():
            if type(scorer) in (CTCPrefixScorer, FastCTCPrefixScorer):
                yield scorer
