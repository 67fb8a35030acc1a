#!/usr/bin/env python3
"""Prints what run.sh needs to know of a training config: encoder and best model.

Two words on one line: the encoder's name, and the file name of the averaged
checkpoint that the config's first best_model_criterion selects.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from common import RecipeError, run_tool

# What ESPnet takes where a config has no best_model_criterion
_DEFAULT_CRITERION = ["valid", "loss", "min"]


def inspect(config: object) -> tuple[str, str]:
    """Return encoder and averaged checkpoint of a training config.

    Raises:
        RecipeError: It is not a mapping, or its criterion is of another form.
    """
    if not isinstance(config, dict):
        raise RecipeError("it is not a YAML mapping")
    criteria = config.get("best_model_criterion") or [_DEFAULT_CRITERION]
    first = criteria[0] if isinstance(criteria, list) else None
    if not isinstance(first, list) or len(first) < 2:
        raise RecipeError("best_model_criterion must be a list of [phase, name, mode]")
    encoder = str(config.get("encoder", "rnn")).lower()
    return encoder, f"{first[0]}.{first[1]}.ave.pth"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    path = parser.parse_args().config
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        print(*inspect(config))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such training config (--asr_config)") from None
    except (yaml.YAMLError, RecipeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"{path}: {reason}") from None


if __name__ == "__main__":
    run_tool(main)
