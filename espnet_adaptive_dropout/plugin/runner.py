"""Runs an ESPnet command with the plugin registered.

``python -m espnet_adaptive_dropout -m espnet2.bin.asr_train --config ...`` is
``python -m espnet2.bin.asr_train --config ...`` with our classes in ESPnet's
registries; a training with adaptive dropout also finds out its own length (see
``task_hooks``). It is what ``asr.sh --python`` takes:
``--python "python3 -m espnet_adaptive_dropout"``. A script path works as well.

With ``--fast_ctc`` before that, ESPnet's recognisers compute their CTC prefix scores
faster (see ``fast_ctc``); for other commands it makes no difference.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import sys

import espnet_adaptive_dropout  # noqa: F401  (registers the classes)
from espnet_adaptive_dropout.plugin import fast_ctc
from espnet_adaptive_dropout.plugin.packing import with_pruning_files

USAGE = (
    "usage: python -m espnet_adaptive_dropout [--fast_ctc] -m MODULE [ARGUMENTS]\n"
    "       python -m espnet_adaptive_dropout [--fast_ctc] SCRIPT.py [ARGUMENTS]"
)

# Commands that start themselves again for further GPUs, by the name of the main
# module: it must be one that registers the plugin.
_RESTARTED = {
    "espnet2.bin.lightning_train": "espnet_adaptive_dropout.bin.lightning_train"
}


def main(argv: list[str] | None = None) -> None:
    """Run ``-m MODULE arguments`` or ``SCRIPT.py arguments``.

    ``--fast_ctc`` may stand before them.

    Raises:
        SystemExit: the command line is wrong, the module does not exist, or a
            training's configuration is refused; with one line on stderr.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["--fast_ctc"]:
        fast_ctc.install()
        del argv[0]
    if argv[:1] in (["-h"], ["--help"]):
        print(USAGE)
    elif argv in ([], ["-m"]):
        raise SystemExit(USAGE)
    elif argv[0] == "-m":
        _run_module(argv[1], argv[2:])
    else:
        _run_script(argv)


def _run_script(argv: list[str]) -> None:
    """Run a script as ``python SCRIPT.py arguments`` does."""
    if not os.path.exists(argv[0]):
        raise SystemExit(f"espnet_adaptive_dropout: no script {argv[0]}")
    sys.argv = argv
    sys.path.insert(0, os.path.dirname(os.path.abspath(argv[0])))
    runpy.run_path(argv[0], run_name="__main__")


def _run_module(name: str, arguments: list[str]) -> None:
    """Import the module and call its main()."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A missing dependency of the module is another matter.
        if not f"{name}.".startswith(f"{error.name}."):
            raise
        raise SystemExit(f"espnet_adaptive_dropout: no module named {name}") from None
    if not hasattr(module, "main"):
        raise SystemExit(f"espnet_adaptive_dropout: {name} has no main()")
    if name == "espnet2.bin.pack":
        arguments = with_pruning_files(arguments)
    sys.argv = [str(module.__file__), *arguments]
    if name in _RESTARTED:
        spec = importlib.util.find_spec(_RESTARTED[name])
        sys.modules["__main__"].__spec__ = spec
    module.main()
