"""Table of the corpora: subsets, combined sets, address of the archives.

A corpus is a tree in LibriSpeech's form. Those of OpenSLR have fixed subsets; of every
other tree (the synthesised ones, a user's own) all subsets on disk are used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_OPENSLR = "https://www.openslr.org/resources"
_DEV = ("dev-clean", "dev-other")
_TEST = ("test-clean", "test-other")
_TRAIN = ("train-clean-100", "train-clean-360", "train-other-500")
# Subsets of every size that local/corpora synthesises
SYNTHESISED = (_TRAIN[0], _TRAIN[2]) + _DEV + _TEST
_SUBSET_NAME = re.compile(r"(train|dev|test)-[A-Za-z0-9-]+")


class CorpusError(Exception):
    """A fault in the user's data or options, with the remedy, in one line."""


@dataclass(frozen=True)
class OfficialCorpus:
    """A corpus of OpenSLR: its subsets, its combined sets and its base URL."""

    subsets: tuple[str, ...]
    combined: dict[str, tuple[str, ...]] = field(default_factory=dict)
    url: str = f"{_OPENSLR}/12"


OFFICIAL: dict[str, OfficialCorpus] = {
    "librispeech": OfficialCorpus(
        _TRAIN + _DEV + _TEST, {"train_960": _TRAIN, "dev": _DEV}
    ),
    "librispeech_100": OfficialCorpus(_TRAIN[:1] + _DEV + _TEST, {"dev": _DEV}),
    "mini_librispeech": OfficialCorpus(
        ("train-clean-5", "dev-clean-2"), url=f"{_OPENSLR}/31"
    ),
}


def is_subset_name(name: str) -> bool:
    """Return whether a directory of this name is a subset (train-*, dev-*, test-*)."""
    return _SUBSET_NAME.fullmatch(name) is not None


def data_set_name(subset: str) -> str:
    """Return the name of a subset's data directory, such as train_clean_100."""
    return subset.replace("-", "_")


def plan_sets(corpus: str, found: Iterable[str]) -> dict[str, list[str]]:
    """Return the data directories to make, and the subsets of each.

    Args:
        corpus: A key of ``OFFICIAL``, or another name, for all subsets found.
        found: Names of the subset directories on disk.

    Returns:
        Subsets of every data directory, each subset's own directory first.

    Raises:
        CorpusError: A subset that the corpus needs is not there.
    """
    present = sorted(name for name in found if is_subset_name(name))
    if corpus in OFFICIAL:
        subsets = list(OFFICIAL[corpus].subsets)
        combined = {k: list(v) for k, v in OFFICIAL[corpus].combined.items()}
        missing = [name for name in subsets if name not in present]
        if missing:
            raise CorpusError(
                f"{corpus} lacks {', '.join(missing)}; found only "
                f"{', '.join(present) or 'none'}: add what is missing or choose "
                "another --corpus"
            )
    else:
        subsets = present
        combined = {
            part: [name for name in present if name.startswith(f"{part}-")]
            for part in ("train", "dev")
        }
        for part, members in combined.items():
            if not members:
                raise CorpusError(
                    f"no {part}-* subset among {', '.join(present) or 'no subsets'}: "
                    f"the corpus needs a directory such as {part}-clean"
                )
    return {**{data_set_name(name): [name] for name in subsets}, **combined}
