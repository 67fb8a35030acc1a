"""The criteria of the package, whatever else the process has registered."""

from __future__ import annotations


def names_of_criteria() -> list[str]:
    """Names of the package's own criteria; the benchmarks register one of theirs."""
    from espnet_adaptive_dropout.pruning.criteria import criterion_choices

    package = "espnet_adaptive_dropout."
    classes = criterion_choices.classes.items()
    return [name for name, kind in classes if kind.__module__.startswith(package)]
