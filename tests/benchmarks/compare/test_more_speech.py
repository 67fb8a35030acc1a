"""More test speech for the comparison."""

from __future__ import annotations

import pytest
from support.benchmark_recipe import write_recipe

from benchmarks.compare.corpus import prepare, utterances
from benchmarks.compare.more_speech import SIZE, add_test_speech

# In place of two hours: a tree of the same shape, without sound.
SYNTHESIS = f"""\
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=["{SIZE}"])
parser.add_argument("--output", type=pathlib.Path)
for subset, reader in (("test-clean", 7), ("test-other", 3)):
    chapter = parser.parse_args().output / "LibriSpeech" / subset / f"{{reader}}/12"
    chapter.mkdir(parents=True, exist_ok=True)
    lines = [f"{{reader}}-12-000{{i}} {{text}}" for i, text in enumerate("ABC")]
    (chapter / f"{{reader}}-12.trans.txt").write_text("\\n".join(lines) + "\\n")
"""


@pytest.fixture
def recipe(tmp_path):
    root = write_recipe(tmp_path / "recipe")
    (root / "local/corpora").mkdir(parents=True)
    (root / "local/corpora/synthesize_corpus.py").write_text(SYNTHESIS)
    return root


def test_sets_are_added_without_sentences_of_the_training(recipe):
    train = recipe / "dump/raw/train/text"
    train.write_text(train.read_text() + "new-1 B\n")
    names = add_test_speech(recipe, "train")
    assert names == ["test_more_clean", "test_more_other"]
    other = recipe / "dump/raw/test_more_other"
    assert (other / "text").read_text() == "3-12-0000 A\n3-12-0002 C\n"
    chapter = recipe / f"downloads/{SIZE}/LibriSpeech/test-other/3/12"
    assert (other / "wav.scp").read_text() == (
        f"3-12-0000 {chapter}/3-12-0000.flac\n3-12-0002 {chapter}/3-12-0002.flac\n"
    )
    sets = prepare(recipe, "train", "dev", ["test", *names]).scored_sets()
    clean = recipe / "dump/raw/test_more_clean/text"
    assert sets["test_more_clean"] == ("test_more_clean", utterances(clean))
    assert add_test_speech(recipe, "train") == names


def test_a_failing_synthesis_is_said(recipe):
    (recipe / "local/corpora/synthesize_corpus.py").write_text("raise SystemExit(1)\n")
    with pytest.raises(ValueError, match="synthesize_corpus.py in .* failed"):
        add_test_speech(recipe, "train")
