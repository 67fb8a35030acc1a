"""What ESPnet's tasks do in addition once the plugin is there.

``build_model`` gives every model whose encoder has adaptive dropout the penalty: no
config can forget it, and the tasks without a registry of models (st, diar, enh_s2t,
s2st, cls) need none. ``main`` works out the length of such a training, so that it can
be started without the runner where the plugin is enabled for the whole environment;
so does ``LitESPnetModel``, which the Lightning trainer makes of the arguments, and
which also loads ``--init_param`` then.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from types import ModuleType
from typing import Callable, Iterator

import torch

_MARK = "__adaptive_dropout__"


def hook_tasks(module: ModuleType) -> None:
    """Wrap ``build_model`` and ``main`` of the task classes that a module defines.

    May be called again.
    """
    for value in list(vars(module).values()):
        if not isinstance(value, type) or value.__module__ != module.__name__:
            continue
        method = vars(value).get("build_model")
        if isinstance(method, classmethod) and not hasattr(method.__func__, _MARK):
            value.build_model = classmethod(_building(method.__func__))
            if hasattr(value, "main"):
                value.main = classmethod(_completing(value.main.__func__))


def hook_lightning(module: ModuleType) -> None:
    """Wrap the constructor of ``LitESPnetModel``. May be called again."""
    # Lightning stores the arguments in its checkpoints, and ESPnet 202611 reads those,
    # to average them, in PyTorch's safe mode, which does not know the class.
    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals([argparse.Namespace])
    lightning_model = module.LitESPnetModel
    if not hasattr(lightning_model.__init__, _MARK):
        lightning_model.__init__ = _completing_lightning(lightning_model.__init__)


@contextlib.contextmanager
def _refusals_in_one_line() -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(f"espnet_adaptive_dropout: {error}") from None


def _completing_lightning(initialise: Callable) -> Callable:
    @functools.wraps(initialise)
    def complete_and_initialise(self, args):
        from espnet_adaptive_dropout.plugin.init_param import load_init_param
        from espnet_adaptive_dropout.plugin.lightning_length import complete_lightning

        with _refusals_in_one_line():
            complete_lightning(args)
        initialise(self, args)
        with _refusals_in_one_line():
            load_init_param(self.model, args)

    setattr(complete_and_initialise, _MARK, True)
    return complete_and_initialise


def _building(build_model: Callable) -> Callable:
    @functools.wraps(build_model)
    def build(cls, args):
        from espnet_adaptive_dropout.encoders.penalised_model import with_penalty

        return with_penalty(build_model(cls, args))

    setattr(build, _MARK, True)
    return build


def _completing(main: Callable) -> Callable:
    @functools.wraps(main)
    def complete_and_run(cls, args=None, cmd=None):
        if args is None:
            from espnet_adaptive_dropout.plugin.training_length import (
                complete_arguments,
            )

            with _refusals_in_one_line():
                cmd = complete_arguments(
                    cls.get_parser(), list(sys.argv[1:] if cmd is None else cmd)
                )
        return main(cls, args=args, cmd=cmd)

    return complete_and_run
