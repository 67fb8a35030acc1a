"""The recipe's prepared data."""

from __future__ import annotations

import pytest
from support.benchmark_recipe import write_recipe

from benchmarks.compare.corpus import part_of, prepare, utterances


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
    all_ids = utterances(recipe / whole.stats / "train/speech_shape")
    ids = utterances(tmp_path / "shapes/speech_shape")
    assert len(ids) == 4 and ids < all_ids
    assert utterances(tmp_path / "shapes/text_shape.char") == ids
    smaller = part_of(whole, 2, tmp_path / "fewer").train_shapes
    assert utterances(smaller / "speech_shape") < ids
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
