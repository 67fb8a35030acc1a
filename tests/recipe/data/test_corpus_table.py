"""The table of corpora."""

import pytest
from corpus_table import OFFICIAL, CorpusError, is_subset_name, plan_sets

ALL_960 = [
    *("train-clean-100", "train-clean-360", "train-other-500"),
    *("dev-clean", "dev-other", "test-clean", "test-other"),
]


def test_960_hours_combine_three_training_and_two_development_subsets():
    plan = plan_sets("librispeech", ALL_960)
    assert plan["train_960"] == ALL_960[:3]
    assert plan["dev"] == ["dev-clean", "dev-other"]
    assert plan["test_other"] == ["test-other"]
    assert len(plan) == 9


def test_100_hours_leave_the_other_training_subsets_out():
    plan = plan_sets("librispeech_100", ALL_960)
    assert set(plan) == {
        *("train_clean_100", "dev_clean", "dev_other", "test_clean", "test_other"),
        "dev",
    }


def test_mini_combines_nothing():
    plan = plan_sets("mini_librispeech", ["dev-clean-2", "train-clean-5"])
    assert plan == {
        "train_clean_5": ["train-clean-5"],
        "dev_clean_2": ["dev-clean-2"],
    }


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
