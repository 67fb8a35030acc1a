#!/usr/bin/env python3
"""Checks run.sh's options before any stage runs.

Prints two words: the encoder of the training config, and the averaged checkpoint that
the config's first best_model_criterion selects.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

# Names of espnet_adaptive_dropout.pruning.criteria, whose import takes many seconds
CRITERIA = ("retention", "magnitude", "taylor", "activation", "random")
# What ESPnet takes where a config has no best_model_criterion
_DEFAULT_CRITERION = ["valid", "loss", "min"]
_BOUND = """
import sys
import yaml
from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder
conf = yaml.safe_load(sys.argv[1])
try:
    AdaptiveDropoutConformerEncoder(80, **conf)
except ValueError as error:
    print(str(error).replace("adaptive_dropout_conf.", "--"))
"""


class OptionError(Exception):
    """An option that cannot be; the message is one line."""


def read_config(path: Path) -> dict:
    """Return a training config.

    Raises:
        OptionError: It is missing or is not a YAML mapping.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"--asr_config {path}: no such training config") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"--asr_config {path}: {reason}") from None
    if not isinstance(config, dict):
        raise OptionError(f"--asr_config {path}: it is not a YAML mapping")
    return config


def best_model(path: Path, config: dict) -> str:
    """Return the file name of the averaged checkpoint that a config selects.

    Raises:
        OptionError: best_model_criterion has another form than ESPnet's.
    """
    criteria = config.get("best_model_criterion") or [_DEFAULT_CRITERION]
    first = criteria[0] if isinstance(criteria, list) else None
    if not isinstance(first, list) or len(first) < 2:
        raise OptionError(
            f"--asr_config {path}: best_model_criterion must be a list of "
            "[phase, name, mode]"
        )
    return f"{first[0]}.{first[1]}.ave.pth"


def check_share(text: str, option: str) -> float:
    """Return a share of the encoder's parameters.

    Raises:
        OptionError: It is not a number between 0 and 1.
    """
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if 0.0 < share < 1.0:
        return share
    hint = f"; did you mean {share / 100:g}?" if 1.0 <= share < 100.0 else ""
    raise OptionError(f"{option} {text}: must be a share between 0 and 1{hint}")


def check_bound(config: dict, shares: list[float], criterion: str) -> None:
    """Check that the encoder has as many removable parameters as are asked for.

    Raises:
        OptionError: It has not; the message has the most that can be removed.
    """
    encoder = dict(config.get("encoder_conf") or {})
    options = dict(encoder.get("adaptive_dropout_conf") or {})
    options["target_reduction"] = max(shares)
    options.pop("family", None)
    if criterion not in ("", "retention"):
        options.pop("locations", None)  # other criteria do not depend on the gates
    encoder["adaptive_dropout_conf"] = options
    command = [sys.executable, "-c", _BOUND, yaml.safe_dump(encoder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.stdout.strip():
        raise OptionError(done.stdout.strip())


def check_pruning(args: argparse.Namespace, config: dict) -> None:
    """Check what is asked of pruning.

    Raises:
        OptionError: An option is wrong or has no effect with this config.
    """
    names = ("target_reduction", "criterion", "sweep")
    given = [f"--{name}" for name in names if getattr(args, name)]
    if args.criterion and args.criterion not in CRITERIA:
        raise OptionError(
            f"--criterion {args.criterion}: must be one of {', '.join(CRITERIA)}"
        )
    shares = [check_share(text, "--sweep") for text in args.sweep.split()]
    if args.target_reduction:
        shares.append(check_share(args.target_reduction, "--target_reduction"))
    if config.get("encoder") != "adaptive_dropout_conformer":
        if given:
            raise OptionError(
                f"{given[0]} has no effect: the encoder of {args.asr_config} is "
                f"{config.get('encoder')}, not adaptive_dropout_conformer"
            )
    elif args.prune == "false" and given:
        raise OptionError(f"{given[0]} needs --prune true")
    elif args.export == "true" and args.prune == "false":
        raise OptionError("--export true needs --prune true: gates are not exported")
    if shares and args.check_bound == "true":
        check_bound(config, shares, args.criterion)


def check_gpus(ngpu: int) -> None:
    """Check that there are as many GPUs as are asked for.

    Raises:
        OptionError: There are fewer.
    """
    import torch

    found = torch.cuda.device_count()
    if found < ngpu:
        raise OptionError(f"--ngpu {ngpu}: PyTorch finds {found} GPUs here")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--asr_config", type=Path, required=True)
    for name in ("target_reduction", "criterion", "sweep"):
        add(f"--{name}", default="")
    for name in ("prune", "export", "check_bound"):
        add(f"--{name}", choices=("true", "false"), default="false")
    add("--ngpu", type=int, default=0, help="GPUs that must be there")
    args = parser.parse_args()
    try:
        config = read_config(args.asr_config)
        model = best_model(args.asr_config, config)
        check_pruning(args, config)
        if args.ngpu:
            check_gpus(args.ngpu)
        if args.export == "true":
            absent = [n for n in ("onnx", "onnxruntime") if not _importable(n)]
            if absent:
                raise OptionError(
                    f"--export true needs {' and '.join(absent)}: {sys.executable} -m "
                    f"pip install {' '.join(absent)}"
                )
    except OptionError as error:
        print(f"run.sh: error: {error}", file=sys.stderr)
        sys.exit(1)
    print(str(config.get("encoder", "rnn")).lower(), model)


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


if __name__ == "__main__":
    main()
