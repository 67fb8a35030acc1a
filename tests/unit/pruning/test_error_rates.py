import pytest

from espnet_adaptive_dropout.pruning.sweep.errors import error_rates


def test_rates_of_all_utterances_together():
    references = {"a": "one two three", "b": "FOUR"}
    hypotheses = {"b": "four five", "a": "one tow three"}
    rates = error_rates(references, hypotheses)
    # one substitution and one insertion over four words; "tow": two characters,
    # " five": five, over 13 + 4 characters
    assert rates["wer"] == pytest.approx(100 * 2 / 4)
    assert rates["cer"] == pytest.approx(100 * 7 / 17)
    assert (rates["utterances"], rates["words"]) == (2, 4)


def test_empty_texts():
    rates = error_rates({"a": "one two", "b": ""}, {"a": "", "b": "three"})
    assert rates["wer"] == pytest.approx(100 * 3 / 2)
    assert rates["cer"] == pytest.approx(100 * (7 + 5) / 7)
    with pytest.raises(ValueError, match="no words"):
        error_rates({"a": ""}, {"a": "x"})


def test_utterances_that_do_not_match():
    with pytest.raises(ValueError, match="1 utterances .* for example b"):
        error_rates({"a": "x", "b": "y"}, {"a": "x"})
