"""The table of corpora."""

import pytest
from corpus_table import OFFICIAL, CorpusError, is_subset_name, plan_sets


def test_other_corpora_take_what_is_found():
    plan = plan_sets("toy", ["test-clean", "train-b", "train-a", "dev-clean", "misc"])
    assert plan["train"] == ["train-a", "train-b"]
    assert plan["dev"] == ["dev-clean"]
    assert "misc" not in plan


@pytest.mark.parametrize("corpus", sorted(OFFICIAL))
def test_missing_subset_of_an_official_corpus_is_named(corpus):
    missing = OFFICIAL[corpus].subsets[0]
    with pytest.raises(CorpusError, match=missing):
        plan_sets(corpus, OFFICIAL[corpus].subsets[1:])


@pytest.mark.parametrize("part", ["train", "dev"])
def test_a_corpus_needs_training_and_development_data(part):
    found = [name for name in ("train-a", "dev-a") if not name.startswith(part)]
    with pytest.raises(CorpusError, match=f"no {part}-"):
        plan_sets("custom", found)


def test_urls_are_those_of_the_two_resources():
    assert OFFICIAL["librispeech"].url.endswith("openslr.org/resources/12")
    assert OFFICIAL["librispeech_100"].url.endswith("openslr.org/resources/12")
    assert OFFICIAL["mini_librispeech"].url.endswith("openslr.org/resources/31")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("dev-clean-2", True), ("train-", False), ("dev", False), ("text-a", False)],
)
def test_subset_names(name, expected):
    assert is_subset_name(name) is expected
