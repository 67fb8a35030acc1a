#!/usr/bin/env python3
"""Checks that a Python environment has what the recipe needs.

Prints "installed" when the stages shall use the environment's ESPnet, "checkout"
when the modules of the checkout must go before it: they are of another version, or
none is installed, and the checkout's scripts are made for its own modules.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from common import RecipeError, run_tool

_PLUGIN = ("espnet_adaptive_dropout", "torch", "sentencepiece", "yaml")
_RECIPE = ("soundfile", "scipy", "tqdm", "editdistance", "jiwer")
# of pyscripts/audio/format_wav_scp.py, by the release that imports them
_SCRIPTS = ("humanfriendly", "kaldiio", "omniio", "resampy")


def missing(names: Iterable[str]) -> list[str]:
    """Return those of some top-level modules that cannot be found."""
    # find_spec refuses modules that replaced themselves on import.
    return [n for n in names if n not in sys.modules and find_spec(n) is None]


def installed_espnet() -> str | None:
    """Return the version of the environment's ESPnet; None without one."""
    try:
        return version("espnet")
    except PackageNotFoundError:
        return None


def imports_of(script: Path) -> set[str]:
    """Return the first words of the modules that a script imports at its top."""
    names = set()
    for line in script.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if line.startswith(("import ", "from ")) and len(words) > 1:
            names.add(words[1].split(".")[0])
    return names


def version_of(checkout: Path) -> str | None:
    """Return the version of a checkout; None when it does not say."""
    # Newer releases have it at the root, older ones in espnet/.
    for name in ("version.txt", "espnet/version.txt"):
        if (checkout / name).is_file():
            return (checkout / name).read_text(encoding="utf-8").strip()
    return None


def whose_espnet(checkout: Path | None) -> str:
    """Return "installed" or "checkout".

    Args:
        checkout: Root of an ESPnet checkout, or None.

    Raises:
        RecipeError: Neither has ESPnet, or the checkout's scripts need a package
            that is not installed.
    """
    found = installed_espnet()
    if checkout is None:
        if found is None:
            raise RecipeError(f"{sys.executable} has no ESPnet; pip install espnet")
        return "installed"
    scripts = checkout / "egs2/TEMPLATE/asr1/pyscripts/audio/format_wav_scp.py"
    wanted = imports_of(scripts) & set(_SCRIPTS) if scripts.is_file() else set()
    absent = sorted(missing(wanted))
    if absent:
        raise RecipeError(
            f"{checkout}: its scripts import {', '.join(absent)}, which "
            f"{sys.executable} lacks: install them with its pip"
        )
    own = version_of(checkout)
    if own is None and found is None:
        raise RecipeError(f"neither {checkout} nor {sys.executable} has ESPnet")
    return "installed" if own is None or own == found else "checkout"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--espnet_root", default="", help="a checkout, if there is one")
    args = parser.parse_args()
    checkout = Path(args.espnet_root) if args.espnet_root else None
    absent = missing(_PLUGIN) + missing(_RECIPE)
    if absent:
        raise RecipeError(
            f"{sys.executable} lacks {', '.join(absent)}: install the plugin there, "
            "pip install 'espnet-adaptive-dropout[recipe]' or 'DIR[recipe]' with DIR "
            "its repository, or name another environment with ADAPRUNE_VENV"
        )
    print(whose_espnet(checkout))


if __name__ == "__main__":
    run_tool(main)
