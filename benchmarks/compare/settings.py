"""What all runs of a comparison share: data, length, size, seeds."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import yaml

from benchmarks.files import write_text

NAME = "settings.yaml"

# A training is cut into this many equal parts, after each of which ESPnet validates
# and saves ("epochs" to ESPnet): enough to average three after the freeze at 85 %,
# and to prune at 30, 50 and 80 % of even a short training.
PARTS = 20


@dataclasses.dataclass
class Settings:
    """Of one comparison; kept in its directory.

    Args:
        exp: directory of the comparison.
        recipe_dir: recipe whose stages 1 to 10 have prepared the data.
        max_epoch: passes through the training data, for every row alike.
        batches: training batches in a pass.
        target: share of the encoder's parameters to remove.
        dense_config: training config of the stock model.
        train_args: added to every training command, for example "--ngpu 1".
        utterances: of the training set that are used; None: all.
    """

    exp: Path
    recipe_dir: Path
    max_epoch: float
    batches: int
    target: float
    dense_config: str
    train_args: List[str] = dataclasses.field(default_factory=list)
    utterances: Optional[int] = None

    @property
    def steps_per_part(self) -> int:
        """Training steps between two checkpoints."""
        return max(round(self.max_epoch * self.batches / PARTS), 1)

    @property
    def steps(self) -> int:
        """Training steps of every row in all."""
        return self.steps_per_part * PARTS

    def to_dict(self) -> Dict[str, Any]:
        """What makes results comparable, for YAML."""
        return dict(
            recipe_dir=str(self.recipe_dir),
            max_epoch=self.max_epoch,
            batches=self.batches,
            steps=self.steps,
            target=self.target,
            dense_config=self.dense_config,
            train_args=self.train_args,
            utterances=self.utterances,
        )

    def keep(self) -> None:
        """Write into the directory, or check against what is there.

        Raises:
            ValueError: the directory holds a comparison of another kind.
        """
        path = self.exp / NAME
        mine = self.to_dict()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, yaml.safe_dump(mine, sort_keys=False))
            return
        theirs = yaml.safe_load(path.read_text(encoding="utf-8"))
        changed = [name for name in mine if mine[name] != theirs.get(name)]
        if changed:
            name = changed[0]
            raise ValueError(
                f"{self.exp} holds runs with {name}={theirs.get(name)!r}, not "
                f"{mine[name]!r}; give another --exp, or the same options"
            )


def prune_part(share: float, parts: int = PARTS) -> int:
    """The checkpoint nearest to ``share`` of the training, the last one excluded."""
    return min(max(math.floor(share * parts + 0.5), 1), parts - 1)


def cubic_rounds(
    target: float,
    rounds: int = 5,
    first: float = 0.2,
    last: float = 0.7,
    parts: int = PARTS,
) -> List[Tuple[int, float]]:
    """Gradual pruning by the cubic schedule of Zhu & Gupta (2018), from nothing.

    Their s(t) = s_f - s_f (1 - (t - t_0) / (n dt))^3 is 0 at t_0, so that the first
    of the ``rounds`` cuts is made one dt later and the last at ``last``.

    Args:
        target: share removed after the last round.
        rounds: number of cuts.
        first: share of the training at t_0.
        last: share of the training at the last cut.
        parts: checkpoints of the training.

    Returns:
        (checkpoint, share removed after it), in order.
    """
    result = []
    for index in range(1, rounds + 1):
        progress = index / rounds
        removed = target * (1.0 - (1.0 - progress) ** 3)
        result.append((prune_part(first + (last - first) * progress, parts), removed))
    return result
