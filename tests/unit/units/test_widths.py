import pytest

from espnet_adaptive_dropout.units.widths import (
    format_indices,
    parse_indices,
    parse_widths,
)


@pytest.mark.parametrize(
    "indices, text",
    [([], ""), ([4], "4"), ([0, 1, 2, 7, 9, 10], "0-2,7,9-10"), ([0, 2], "0,2")],
)
def test_indices_round_trip(indices, text):
    assert format_indices(indices) == text
    assert parse_indices(text) == indices


def test_a_single_index_may_be_a_yaml_integer():
    assert parse_indices(7) == [7]


@pytest.mark.parametrize("text", ["a", "3,1", "1,1", "2--4", "-1", "5-3", None])
def test_wrong_indices_are_refused(text):
    with pytest.raises(ValueError, match="index range"):
        parse_indices(text)


FITTING = dict(ffn=3, query=[1, 0], value=[2, 2], conv_input="0-3")


@pytest.mark.parametrize(
    "change, where",
    [
        (dict(ffn=-1), "ffn=-1 must be a number of units"),
        (dict(ffn="3"), "ffn='3' must be"),
        (dict(ffn=None), "ffn=None must be"),
        (dict(ffn=2.0), "ffn=2.0 must be"),
        (dict(query=3), "query=3 must be a list of 2 widths"),
        (dict(value=[1]), r"value=\[1\] must be a list of 2 widths"),
        (dict(value=[1, None]), "value=None must be a number of units"),
        (dict(conv_input=None), "conv_input: None is not a list of index ranges"),
        (dict(conv_input="5-3"), "conv_input: index range '5-3' runs backwards"),
        (dict(conv_channel=True), "conv_channel=True must be"),
    ],
)
def test_widths_edited_by_hand(change, where):
    good = [dict(FITTING), dict(FITTING)]
    assert len(parse_widths(good, 2, 2, False, True)) == 2
    good[1].update(change)
    with pytest.raises(ValueError, match=rf"^encoder_conf.widths\[1\].{where}"):
        parse_widths(good, 2, 2, False, True)


@pytest.mark.parametrize("widths", [None, "all", [None], [[1]], 3])
def test_widths_of_another_form(widths):
    with pytest.raises(ValueError, match="^encoder_conf.widths"):
        parse_widths(widths, 1, 2, False, True)
