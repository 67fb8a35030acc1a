"""Options of pruning."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass
class PruneOptions:
    """Options of pruning, as ``bin.prune`` takes them.

    Args:
        target_reduction: share to remove; None takes the target of the training.
        of: what it is a share of, one of ``part.OF``; None: see ``open_trained``.
            Other parts that were trained with adaptive dropout are cut as trained.
        criterion: name of the criterion in ``criterion_choices``.
        criterion_conf: options of the criterion.
        data: "path,name,type" triplets of audio for the certificate; None takes the
            validation data of the training.
        utterances: number of utterances that the certificate compares.
        tolerance: tolerance of the certificate, in double precision.
        cost: cost that ``target_reduction`` is a share of, "parameters" or "macs";
            None takes the cost of the training.
        cost_frames: input frames of the utterance whose MACs are counted; None takes
            the number of the training.
        cost_tokens: number of its tokens, for a decoder; so.
        cost_beam: number of hypotheses of the search, for a decoder; so.
        budget: parts of the encoder that lose the same share, one of
            ``table.BUDGETS``; None takes the budget of the training.
        multiple_of: number of which the widths become multiples, if they do not stay
            the full width; None takes the number of the training.
        allow_unfrozen: take a checkpoint from before the training froze its size.
        compact_decoder: put the compact decoder in the place of ESPnet's.
        repair: solve the layers that read removed units again after the cut.
        repair_utterances: number of utterances that they are fitted on.
    """

    target_reduction: float | None = None
    of: str | None = None
    criterion: str = "retention"
    criterion_conf: dict[str, Any] = dataclasses.field(default_factory=dict)
    data: list[str] | None = None
    utterances: int = 4
    tolerance: float = 1e-9
    cost: str | None = None
    cost_frames: int | None = None
    cost_tokens: int | None = None
    cost_beam: int | None = None
    budget: str | None = None
    multiple_of: int | None = None
    allow_unfrozen: bool = False
    compact_decoder: bool = False
    repair: bool = False
    repair_utterances: int = 128

    def length(self) -> dict[str, int | None]:
        """Return the size of the recognition whose MACs are counted."""
        return {
            "cost_frames": self.cost_frames,
            "cost_tokens": self.cost_tokens,
            "cost_beam": self.cost_beam,
        }
