"""The documentation: links lead somewhere, and names are those of the code."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from support.criteria import names_of_criteria
from support.paths import ROOT

from espnet_adaptive_dropout.bin import (
    adaprune,
    compress,
    export,
    measure,
    prune,
    report,
    sweep,
)
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.units.locations import ALIASES, LOCATIONS

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / "benchmarks").glob("*.md")]
COMMANDS = dict(prune=prune, sweep=sweep, report=report, export=export, measure=measure)
COMMANDS["compress"] = compress


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(page: Path) -> set:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_architecture_names_files_that_exist():
    package = ROOT / "espnet_adaptive_dropout"
    names = re.findall(r"`(\w+/\w+\.py)`", read("docs/architecture.md"))
    assert len(names) > 15
    assert [name for name in names if not (package / name).exists()] == []


def test_the_readme_is_short():
    assert len(read("README.md").splitlines()) <= 150


def test_every_option_of_a_training_is_described():
    described = set(re.findall(r"`(\w+)(?=`|: )", read("docs/options.md")))
    options = {field.name for field in dataclasses.fields(AdaptiveDropoutConfig)}
    assert options <= described, options - described


def test_every_location_and_criterion_is_described():
    text = read("docs/method.md")
    single = set(LOCATIONS) - set(ALIASES["subsampling"])
    assert all(f"`{name}`" in text for name in [*single, "subsampling"])
    text = read("docs/pruning.md")
    assert all(f"| `{name}` |" in text for name in names_of_criteria())


@pytest.mark.parametrize("page", PAGES[:1] + PAGES[3:], ids=lambda page: page.name)
def test_commands_are_printed_with_options_that_they_have(page):
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for line in lines:
        words = line.partition("#")[0].split()
        if words[:1] != ["adaprune"]:
            continue
        assert words[1] in adaprune.COMMANDS, line
        if words[1] in COMMANDS:
            known = COMMANDS[words[1]].get_parser()._option_string_actions
            used = {word for word in words if word.startswith("--")}
            assert used <= set(known), line


def test_versions_agree():
    version = re.search(
        r'__version__ = "(.+)"', read("espnet_adaptive_dropout/__init__.py")
    )
    assert f"\nversion: {version[1]}\n" in read("CITATION.cff")
    assert f"\n## {version[1]}\n" in read("CHANGELOG.md")
