"""Where the repository and the recipe lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
RECIPE = ROOT / "egs2" / "librispeech_adaprune" / "asr1"
