"""Objects that are kept in a temporary file."""

import pytest
import torch

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.experiments.on_disk import OnDisk


def test_objects_come_back():
    kept = OnDisk()
    mask = torch.tensor([[True, False]])
    items = [
        ((torch.randn(1, 7, 3), torch.randn(1, 13, 3)), mask, None),
        {"x": torch.arange(5), "name": "a", "empty": torch.zeros(0, 3)},
        Inputs(torch.randn(1, 4, 2), torch.tensor([4]), {"flag": True}),
    ]
    for item in items:
        kept.append(item)
    assert len(kept) == 3
    # In any order, and more than once
    found = [kept[0], kept[2], kept[1], kept[0], kept[-1]]
    for (x, positions), read_mask, nothing in (found[0], found[3]):
        assert torch.equal(x, items[0][0][0]) and torch.equal(positions, items[0][0][1])
        assert torch.equal(read_mask, mask) and nothing is None
    assert torch.equal(found[2]["x"], torch.arange(5)) and found[2]["name"] == "a"
    assert found[2]["empty"].shape == (0, 3)
    for inputs in (found[1], found[4]):
        assert torch.equal(inputs.features, items[2].features)
        assert inputs.options == {"flag": True}
    assert [type(item) for item in kept] == [tuple, dict, Inputs]
    with pytest.raises(IndexError):
        kept[3]


def test_modules_stay_the_same_ones():
    kept, module, other = OnDisk(), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    kept.append({"ctc": module})
    kept.append({"ctc": module, "more": other})
    assert kept[0]["ctc"] is kept[1]["ctc"] is module
    assert kept[1]["more"] is other


def test_what_is_read_may_be_changed():
    kept = OnDisk()
    kept.append(torch.zeros(3))
    kept[0].add_(1.0)
    assert torch.equal(kept[0], torch.zeros(3))


def test_of_a_view_only_what_it_shows_is_written():
    """Positions are views of a table for the longest utterance."""
    kept = OnDisk()
    kept.append(torch.randn(1000, 100)[:5, :7].t())
    start, size = kept._spans[0]
    assert size < 1000
    assert kept[0].shape == (7, 5)


def test_a_tensor_that_requires_a_gradient():
    kept = OnDisk()
    kept.append(torch.ones(3, requires_grad=True) * 2.0)
    assert torch.equal(kept[0], torch.full((3,), 2.0)) and not kept[0].requires_grad
