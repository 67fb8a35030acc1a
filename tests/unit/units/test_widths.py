import pytest

from espnet_adaptive_dropout.units.widths import format_indices, parse_indices


@pytest.mark.parametrize(
    "indices, text",
    [([], ""), ([4], "4"), ([0, 1, 2, 7, 9, 10], "0-2,7,9-10"), ([0, 2], "0,2")],
)
def test_indices_round_trip(indices, text):
    assert format_indices(indices) == text
    assert parse_indices(text) == indices


def test_a_single_index_may_be_a_yaml_integer():
    assert parse_indices(7) == [7]


@pytest.mark.parametrize("text", ["a", "3,1", "1,1", "2--4", "-1"])
def test_wrong_indices_are_refused(text):
    with pytest.raises(ValueError, match="index ranges"):
        parse_indices(text)
