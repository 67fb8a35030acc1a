"""Calls a function with modules of ESPnet right after their import."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Callable

Act = Callable[[ModuleType], None]


def call_after_import(is_meant: Callable[[str], bool], act: Act) -> None:
    """Call ``act`` with the modules that are loaded, and later with the others.

    May be called again.

    Args:
        is_meant: tells by its name whether a module is meant. Functions that are
            waiting at the same time must not mean the same modules.
        act: what is called; it must not mind a module that it has seen before.
    """
    if not any(getattr(finder, "act", None) is act for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(is_meant, act))
    for name, module in list(sys.modules.items()):
        if is_meant(name) and module is not None:
            act(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules as Python does, with our loader around theirs."""

    def __init__(self, is_meant: Callable[[str], bool], act: Act):
        self.is_meant = is_meant
        self.act = act

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if not self.is_meant(name):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.act)
        return spec


class _Loader(importlib.abc.Loader):
    """Runs the real loader, then the function."""

    def __init__(self, loader: importlib.abc.Loader, act: Act):
        self.loader = loader
        self.act = act

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        self.act(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)
