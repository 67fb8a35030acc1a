"""The rooms of the package, and which of them may import which."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from support.paths import ROOT

PACKAGE = "espnet_adaptive_dropout"

# Room -> rooms that its modules may import. A room comes after all that it uses.
ARROWS = {
    "compat": set(),
    "modules": {"compat"},
    "units": {"modules", "compat"},
    "control": {"units", "modules"},
    "experiments": {"modules", "compat"},
    "stacks": {"control", "units", "modules", "experiments"},
    "encoders": {"stacks", "control", "units", "modules", "experiments", "compat"},
    "decoders": {"stacks", "control", "units", "modules", "compat"},
    "plugin": {"encoders", "decoders", "stacks", "control", "experiments", "compat"},
    "pruning": {"units", "control", "experiments", "modules"},
    "export": {"experiments", "modules", "compat"},
    "report": {"pruning", "export", "units", "control", "experiments", "modules"},
    "compress": {"pruning", "export", "units", "control", "experiments"},
    "bin": {
        *{"pruning", "export", "report", "compress"},
        *{"experiments", "units", "compat"},
    },
    # The names that users write: ESPnet3 configs, and ``python -m``.
    "egs3": {"plugin"},
    "__main__": {"plugin"},
    "__init__": {"plugin"},
}


def room_of(module: Path) -> str:
    return module.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")


def imported_names(module: Path) -> set:
    """Dotted names below the package that a module imports, wherever it does so."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    ours = f"{PACKAGE}."
    return {name[len(ours) :] for name in names if name.startswith(ours)}


def imported_rooms(module: Path) -> set:
    return {name.split(".")[0] for name in imported_names(module)}


MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(ROOT)))
def test_imports_follow_the_arrows(module):
    room = room_of(module)
    version = {"__version__"}  # of the package itself
    assert imported_rooms(module) - {room} - version <= ARROWS[room]


def test_rooms_come_after_what_they_use():
    order = list(ARROWS)
    for room, used in ARROWS.items():
        assert all(order.index(name) < order.index(room) for name in used), room


def test_every_room_has_a_rule():
    assert {room_of(module) for module in MODULES} == set(ARROWS)


def test_modules_import_each_other_without_circles():
    paths = {}
    for module in MODULES:
        name = module.relative_to(ROOT / PACKAGE).with_suffix("").as_posix()
        paths[name.replace("/", ".").removesuffix(".__init__")] = module
    graph = {}
    for name, module in paths.items():
        imported = imported_names(module)
        parents = {other.rpartition(".")[0] for other in imported}
        graph[name] = ((imported | parents) & set(paths)) - {name}
    TopologicalSorter(graph).prepare()  # raises CycleError
