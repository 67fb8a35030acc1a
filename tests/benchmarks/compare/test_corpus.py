"""The recipe's prepared data."""

from __future__ import annotations

import pytest
from support.benchmark_recipe import write_recipe

from benchmarks.compare.corpus import (
    TEST_CORPUS,
    add_test_speech,
    part_of,
    prepare,
)
from espnet_adaptive_dropout.experiments.tables import read_table


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path / "recipe")


def test_data_is_found(recipe):
    corpus = prepare(recipe, "train", "dev", ["test"])
    assert corpus.token_type == "char"
    arguments = corpus.training_arguments()
    assert "exp/asr_stats_raw_en_char/train/text_shape.char" in arguments
    assert "data/en_token_list/char/tokens.txt" in arguments
    assert "dump/raw/dev/wav.scp,speech,sound" in arguments


def test_a_combined_set_is_scored_in_its_parts(recipe):
    lines = (recipe / "dump/raw/dev/text").read_text().splitlines(keepends=True)
    for name, part in (("dev_clean", lines[:4]), ("dev_other", lines[4:])):
        path = recipe / "data" / name / "text"
        path.parent.mkdir(parents=True)
        path.write_text("".join(part))
    sets = prepare(recipe, "train", "dev", ["test"]).scored_sets()
    assert list(sets) == ["dev_clean", "dev_other", "test"]
    assert sets["dev_clean"][0] == "dev"
    assert len(sets["dev_clean"][1]) == 4
    assert len(sets["test"][1]) == len(lines)


def test_a_set_whose_parts_are_not_all_there_stays_whole(recipe):
    path = recipe / "data/dev_clean/text"
    path.parent.mkdir(parents=True)
    path.write_text((recipe / "dump/raw/dev/text").read_text().splitlines()[0] + "\n")
    assert list(prepare(recipe, "train", "dev", []).scored_sets()) == ["dev"]


def test_what_is_wrong_is_said(recipe, tmp_path):
    with pytest.raises(ValueError, match="no run.sh in it"):
        prepare(tmp_path / "nowhere", "train", "dev", [])
    with pytest.raises(ValueError, match="dump/raw has no set test_far"):
        prepare(recipe, "train", "dev", ["test_far"])
    (recipe / "data/en_token_list/bpe_bpe5").mkdir()
    (recipe / "data/en_token_list/bpe_bpe5/tokens.txt").write_text("a\n")
    with pytest.raises(ValueError, match="exactly one data/.*bpe_bpe5"):
        prepare(recipe, "train", "dev", [])


def test_part_of_the_training_set(recipe, tmp_path):
    whole = prepare(recipe, "train", "dev", ["test"])
    part = part_of(whole, 4, tmp_path / "shapes")
    arguments = part.training_arguments()
    assert f"{tmp_path}/shapes/speech_shape" in arguments
    assert "exp/asr_stats_raw_en_char/valid/speech_shape" in arguments
    all_ids = set(read_table(recipe / whole.stats / "train/speech_shape"))
    ids = set(read_table(tmp_path / "shapes/speech_shape"))
    assert len(ids) == 4 and ids < all_ids
    assert set(read_table(tmp_path / "shapes/text_shape.char")) == ids
    smaller = part_of(whole, 2, tmp_path / "fewer").train_shapes
    assert set(read_table(smaller / "speech_shape")) < ids
    assert part.scored_sets() == whole.scored_sets()


@pytest.mark.parametrize("count", [0, 10])
def test_a_part_must_be_one(recipe, tmp_path, count):
    whole = prepare(recipe, "train", "dev", [])
    with pytest.raises(ValueError, match=f"--utterances {count}: must be from 1 to 9"):
        part_of(whole, count, tmp_path / "shapes")


def test_missing_data_is_prepared_by_the_recipe(recipe):
    for path in recipe.glob("exp/asr_stats_*/valid/text_shape.*"):
        path.unlink()
    script = '#!/usr/bin/env bash\necho "$@" > asked; exit 1\n'
    (recipe / "run.sh").write_text(script)
    (recipe / "run.sh").chmod(0o755)
    with pytest.raises(ValueError, match="run.sh failed"):
        prepare(recipe, "train", "dev", [])
    assert (recipe / "asked").read_text() == "--stage 1 --stop_stage 10\n"


# In place of two hours: a tree of the same shape, without sound.
SYNTHESIS = f"""\
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=["{TEST_CORPUS}"])
parser.add_argument("--output", type=pathlib.Path)
for subset, reader in (("test-clean", 7), ("test-other", 3)):
    chapter = parser.parse_args().output / "LibriSpeech" / subset / f"{{reader}}/12"
    chapter.mkdir(parents=True, exist_ok=True)
    lines = [f"{{reader}}-12-000{{i}} {{text}}" for i, text in enumerate("ABC")]
    (chapter / f"{{reader}}-12.trans.txt").write_text("\\n".join(lines) + "\\n")
"""


def synthesis(recipe, script):
    """Write ``script`` as the recipe's synthesis."""
    path = recipe / "local/corpora/synthesize_corpus.py"
    path.parent.mkdir(parents=True)
    path.write_text(script)


def test_more_test_speech_has_no_sentence_of_the_training(recipe):
    synthesis(recipe, SYNTHESIS)
    train = recipe / "dump/raw/train/text"
    train.write_text(train.read_text() + "new-1 B\n")
    names = add_test_speech(recipe, "train")
    assert names == ["test_more_clean", "test_more_other"]
    other = recipe / "dump/raw/test_more_other"
    assert (other / "text").read_text() == "3-12-0000 A\n3-12-0002 C\n"
    chapter = recipe / f"downloads/{TEST_CORPUS}/LibriSpeech/test-other/3/12"
    assert (other / "wav.scp").read_text() == (
        f"3-12-0000 {chapter}/3-12-0000.flac\n3-12-0002 {chapter}/3-12-0002.flac\n"
    )
    sets = prepare(recipe, "train", "dev", ["test", *names]).scored_sets()
    clean = recipe / "dump/raw/test_more_clean/text"
    assert sets["test_more_clean"] == ("test_more_clean", set(read_table(clean)))
    assert add_test_speech(recipe, "train") == names


def test_a_failing_synthesis_is_reported(recipe):
    synthesis(recipe, "raise SystemExit(1)\n")
    with pytest.raises(ValueError, match="synthesize_corpus.py in .* failed"):
        add_test_speech(recipe, "train")
