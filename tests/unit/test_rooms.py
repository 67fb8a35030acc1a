"""The rooms of the package, and which of them may import which."""

from __future__ import annotations

import ast
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
    "encoders": {"control", "units", "modules", "experiments", "compat"},
    "plugin": {"encoders", "control", "experiments", "compat"},
    "pruning": {"units", "control", "experiments", "modules"},
    "export": {"experiments", "modules", "compat"},
    "report": {"pruning", "export", "units", "control", "experiments", "modules"},
    "bin": {"pruning", "export", "report", "experiments", "units", "compat"},
    # The names that users write: ESPnet3 configs, and ``python -m``.
    "egs3": {"plugin"},
    "__main__": {"plugin"},
    "__init__": {"plugin"},
}


def room_of(module: Path) -> str:
    return module.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(module: Path) -> set:
    """Rooms that a module imports from, at its top or inside a function."""
    rooms = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            names = [f"{PACKAGE}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names]
        rooms |= {part[1] for part in parts if part[0] == PACKAGE and len(part) > 1}
    return rooms


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
