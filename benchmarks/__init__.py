"""Compares adaptive dropout with other ways to a smaller encoder.

``compare``: ``python -m benchmarks.compare`` trains, prunes and scores every row.
``models``: the commands on a single model that a run of the comparison consists of.
``tables``: ``python -m benchmarks.tables`` writes the tables of a comparison.
``speed``: ``python -m benchmarks.speed`` times encoders before and after pruning.
``repair``: ``python -m benchmarks.repair`` scores cuts without training.
``control``: ``python -m benchmarks.control`` shows how well the size follows its ramp.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
