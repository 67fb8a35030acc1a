"""Who reads what."""

import pytest
from corpus_table import SYNTHESISED
from synth.plan import make_plan, seconds
from synth.sizes import SIZES

SMALL_STORIES = ("toy", "toy_test")


@pytest.fixture(scope="module", params=["smoke", "toy"])
def plan(request):
    return make_plan(SIZES[request.param], seed=1)


def test_subsets_are_those_that_the_data_preparation_expects():
    for size in ("smoke", "toy", "medium"):
        assert tuple(s.name for s in SIZES[size].subsets) == SYNTHESISED


def test_the_plan_depends_on_the_seed_only():
    one, two, other = (make_plan(SIZES["smoke"], seed=s) for s in (1, 1, 2))
    assert one == two
    assert one != other


def test_every_speaker_is_in_one_subset_and_every_number_is_used_once(plan):
    homes = {(chapter.speaker.reader, chapter.subset.name) for chapter in plan}
    assert len(homes) == len({reader for reader, _ in homes})
    assert len({chapter.number for chapter in plan}) == len(plan)
    assert len(homes) == len({chapter.speaker.variant for chapter in plan})


def test_no_evaluation_sentence_is_in_training_or_in_another_set(plan):
    texts = {True: [], False: []}
    for chapter in plan:
        texts[chapter.subset.train].extend(chapter.sentences)
    assert not set(texts[True]) & set(texts[False])
    assert len(set(texts[False])) == len(texts[False])


def test_more_test_speech_has_sentences_and_speakers_of_its_own():
    toy, more = (make_plan(SIZES[name], SIZES[name].seed) for name in SMALL_STORIES)
    assert not {c.speaker.variant for c in toy} & {c.speaker.variant for c in more}
    heard, tested = (
        {text for chapter in plan for text in chapter.sentences} for plan in (toy, more)
    )
    # One grammar: some short sentences are in both, but not the same supply.
    assert len(heard & tested) < 0.5 * len(tested)
    assert not any(chapter.subset.train for chapter in more)


def test_both_sexes_in_every_subset(plan):
    for name in {chapter.subset.name for chapter in plan}:
        sexes = [c.speaker.sex for c in plan if c.subset.name == name]
        assert set(sexes) == {"F", "M"}


def test_evaluation_sets_are_large_enough_to_mean_something(plan):
    for subset in {chapter.subset for chapter in plan if not chapter.subset.train}:
        texts = [t for c in plan if c.subset == subset for t in c.sentences]
        assert len(texts) >= 10
        assert sum(len(text.split()) for text in texts) >= 60


def test_minutes_and_speakers_are_as_asked(plan):
    for subset in {chapter.subset for chapter in plan}:
        chapters = [c for c in plan if c.subset == subset]
        total = sum(seconds(text) for c in chapters for text in c.sentences)
        assert total / 60 == pytest.approx(subset.minutes, abs=0.15)
        assert len({c.speaker.reader for c in chapters}) == subset.speakers


def test_scale_multiplies_training_and_never_enlarges_evaluation():
    half, double = (SIZES["toy"].scaled(factor) for factor in (0.5, 2.0))
    for before, less, more in zip(SIZES["toy"].subsets, half.subsets, double.subsets):
        assert less.minutes == before.minutes / 2
        assert more.minutes == before.minutes * (2 if before.train else 1)


def test_a_tiny_scale_has_fewer_speakers_and_no_empty_subset():
    plan = make_plan(SIZES["smoke"].scaled(0.001), seed=1)
    assert {c.subset.name for c in plan} == {s.name for s in SIZES["smoke"].subsets}
    assert all(chapter.sentences for chapter in plan)
