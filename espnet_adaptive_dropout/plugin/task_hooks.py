"""Hooks in ESPnet's tasks and in its Lightning model.

``build_model`` gives every model with adaptive dropout the penalty: no
config can forget it, and the tasks without a registry of models (st, diar, enh_s2t,
s2st, cls) need none. ``main`` works out the length of such a training, so that it can
be started without the runner where the plugin is enabled for the whole environment;
so does ``LitESPnetModel``, which the Lightning trainer makes of the arguments, and
which also loads ``--init_param`` then. A configuration that this package refuses ends
a training with one line.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import torch

_MARK = "__adaptive_dropout__"
_PACKAGE = Path(__file__).parents[1]


class RefusedConfig(ValueError):
    """Raised by ``build_model`` where this package refuses a configuration."""


def hook_tasks(module: ModuleType) -> None:
    """Wrap ``build_model``, ``main`` and ``main_worker`` of a module's own tasks.

    May be called again.
    """
    for value in list(vars(module).values()):
        if not isinstance(value, type) or value.__module__ != module.__name__:
            continue
        method = vars(value).get("build_model")
        if isinstance(method, classmethod) and not hasattr(method.__func__, _MARK):
            task: type[Any] = value
            task.build_model = classmethod(_building(method.__func__))
            if hasattr(task, "main"):
                task.main = classmethod(_completing(task.main.__func__))
                worker = _refusing(task.main_worker.__func__)
                task.main_worker = classmethod(worker)


def hook_lightning(module: ModuleType) -> None:
    """Wrap the constructor of ``LitESPnetModel``, and cut units as its epochs start.

    May be called again.
    """
    # Lightning stores the arguments in its checkpoints, and ESPnet 202611 reads those,
    # to average them, in PyTorch's safe mode, which does not know the class.
    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals([argparse.Namespace])
    lightning_model = module.LitESPnetModel
    if not hasattr(lightning_model.__init__, _MARK):
        lightning_model.__init__ = _completing_lightning(lightning_model.__init__)
        lightning_model.on_train_epoch_start = _cut_lightning


@contextlib.contextmanager
def _refusals_in_one_line(*kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise SystemExit(f"espnet_adaptive_dropout: {error}") from None


def _completing_lightning(initialise: Callable) -> Callable:
    @functools.wraps(initialise)
    def complete_and_initialise(self: Any, args: argparse.Namespace) -> None:
        from espnet_adaptive_dropout.plugin.init_param import load_init_param
        from espnet_adaptive_dropout.plugin.lightning_length import complete_lightning

        with _refusals_in_one_line(ValueError, OSError):
            complete_lightning(args)
        with _refusals_in_one_line(RefusedConfig):
            initialise(self, args)
        with _refusals_in_one_line(ValueError, OSError):
            load_init_param(self.model, args)

    setattr(complete_and_initialise, _MARK, True)
    return complete_and_initialise


def _cut_lightning(lightning_model: Any) -> None:
    from espnet_adaptive_dropout.plugin.cutting_trainer import cut_lightning

    cut_lightning(lightning_model)


def _building(build_model: Callable) -> Callable:
    @functools.wraps(build_model)
    def build(cls: type[Any], args: argparse.Namespace) -> Any:
        from espnet_adaptive_dropout.encoders.penalised_model import with_penalty
        from espnet_adaptive_dropout.plugin.training_length import check_decoder

        try:
            model = with_penalty(build_model(cls, args))
            check_decoder(model, args)
            return model
        except ValueError as error:
            if not _raised_here(error):
                raise
            raise RefusedConfig(str(error)) from error

    setattr(build, _MARK, True)
    return build


def _raised_here(error: Exception) -> bool:
    """Whether this package raised the error itself, not ESPnet or PyTorch."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return _PACKAGE in Path(frame.f_code.co_filename).parents


def _refusing(main_worker: Callable) -> Callable:
    @functools.wraps(main_worker)
    def work(cls: type[Any], args: argparse.Namespace) -> Any:
        with _refusals_in_one_line(RefusedConfig), _cutting_trainer(cls, args):
            return main_worker(cls, args)

    return work


@contextlib.contextmanager
def _cutting_trainer(task: type[Any], args: argparse.Namespace) -> Iterator[None]:
    """Give a task a trainer that cuts units, where a training has adaptive dropout."""
    from espnet_adaptive_dropout.plugin.cutting_trainer import cutting
    from espnet_adaptive_dropout.plugin.training_length import adaptive_configs

    usual = task.trainer
    if adaptive_configs(args):
        task.trainer = cutting(usual)
    try:
        yield
    finally:
        task.trainer = usual


def _completing(main: Callable) -> Callable:
    @functools.wraps(main)
    def complete_and_run(
        cls: type[Any],
        args: argparse.Namespace | None = None,
        cmd: Sequence[str] | None = None,
    ) -> Any:
        if args is None:
            from espnet_adaptive_dropout.plugin.training_length import (
                complete_arguments,
            )

            with _refusals_in_one_line(ValueError, OSError):
                cmd = complete_arguments(
                    cls.get_parser(), list(sys.argv[1:] if cmd is None else cmd)
                )
        return main(cls, args=args, cmd=cmd)

    return complete_and_run
