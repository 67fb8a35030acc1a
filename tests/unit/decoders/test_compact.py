import copy

import pytest
import torch
from support.decoders import (
    ARCHITECTURES,
    HAS_QK_NORM,
    HEADS,
    LAYERS,
    QK_NORM,
    SMALL,
    compact_decoder,
    memory_of,
    narrow_pair,
    pair,
    random_kept,
    stock_decoder,
    teacher_forced,
)

from espnet_adaptive_dropout.decoders.compact import CompactTransformerDecoder
from espnet_adaptive_dropout.export.int8 import quantize

FULL = {**ARCHITECTURES, **({"qk_norm": QK_NORM} if HAS_QK_NORM else {})}
VOID_HEADS = dict(  # no queries, no values, neither, both
    ffn=[1, 3],
    self_query=[[], [0, 1], [], [1]],
    self_value=[[2], [], [], [0, 3]],
    source_query=[[], [0], [], [1, 2, 3]],
    source_value=[[0, 1], [], [], [3]],
)
NOTHING = {n: [[]] * HEADS for n in VOID_HEADS if n != "ffn"}
KEPT = {
    "half": random_kept(0.5),
    "few": random_kept(0.2, seed=3),
    "void_heads": [VOID_HEADS] * LAYERS,
    "first_layer_empty": [{"ffn": [], **NOTHING}, VOID_HEADS],
    "no_ffn": [{**VOID_HEADS, "ffn": []}] * LAYERS,
    "no_source_attention": [
        {**VOID_HEADS, "source_value": [[]] * HEADS, "source_query": [[]] * HEADS}
    ]
    * LAYERS,
    "everything_empty": [{"ffn": [], **NOTHING}] * LAYERS,
}


@torch.no_grad()
def check_forward(stock, compact):
    arguments = teacher_forced()
    expected, lengths = stock(*arguments)
    y, y_lengths = compact(*arguments)
    assert torch.equal(lengths, y_lengths)
    real = torch.arange(y.size(1))[None] < arguments[3][:, None]
    assert (y - expected)[real].abs().max() < 1e-5
    for option in ("return_hs", "return_all_hs"):
        (_, expected_hs), _ = stock(*arguments, **{option: True})
        (_, hs), _ = compact(*arguments, **{option: True})
        if option == "return_hs":
            expected_hs, hs = [expected_hs], [hs]
        for one, other in zip(expected_hs, hs):
            assert (one - other)[real].abs().max() < 1e-5


@torch.no_grad()
def check_steps(stock, compact, lengths=(7, 5, 2), steps=5):
    """Step by step, with hypotheses reordered and dropped as in a search."""
    memory = memory_of(3 * 7).view(3, 7, -1)
    mask = (torch.arange(7)[None] < torch.tensor(lengths)[:, None]).unsqueeze(1)
    ys = torch.tensor([[1], [2], [3]])
    cache = other_cache = None
    for step in range(steps):
        tgt_mask = torch.ones(1, step + 1, step + 1, dtype=torch.bool).tril()
        (expected, expected_hs), cache = stock.forward_one_step(
            ys, tgt_mask, memory, mask, cache=cache, return_hs=True
        )
        (y, hs), other_cache = compact.forward_one_step(
            ys, tgt_mask, memory, mask, cache=other_cache, return_hs=True
        )
        assert (y - expected).abs().max() < 1e-4
        assert (hs - expected_hs).abs().max() < 1e-4
        ys = torch.cat([ys, expected[:, :5].argmax(-1, keepdim=True)], dim=1)


@torch.no_grad()
def check_scores(stock, compact):
    memory = memory_of(11)
    states = [None]
    other_states = [None]
    ys = torch.tensor([[1]])
    for order in ([0, 0, 0], [2, 0, 0], [1, 2], [1, 0], [0]):
        xs = memory.expand(len(ys), *memory.shape)
        expected, states = stock.batch_score(ys, states, xs)
        y, other_states = compact.batch_score(ys, other_states, xs)
        assert (y - expected).abs().max() < 1e-4
        single, _ = compact.score(ys[0], None, memory)
        assert (single - expected[0]).abs().max() < 1e-4
        states = [stock.select_state(states, row) for row in order]
        other_states = [compact.select_state(other_states, row) for row in order]
        ys = torch.cat([ys[order], torch.arange(len(order))[:, None]], dim=1)


def check(stock, compact):
    check_forward(stock, compact)
    check_steps(stock, compact)
    check_scores(stock, compact)


@pytest.mark.parametrize("architecture", FULL)
def test_full_width(architecture):
    check(*pair(**FULL[architecture]))


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("architecture", ["pre_norm", "post_norm", "concat_after"])
def test_narrow(architecture, kept):
    check(*narrow_pair(KEPT[kept], **ARCHITECTURES[architecture]))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_random_widths(architecture):
    for seed in range(5):
        check(*narrow_pair(random_kept(0.6, seed), **ARCHITECTURES[architecture]))


def gradients(decoder, arguments):
    y, _ = decoder(*arguments)
    real = torch.arange(y.size(1))[None] < arguments[3][:, None]
    y[real].square().sum().backward()
    return {
        name: parameter.grad
        for name, parameter in decoder.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("architecture", FULL)
def test_gradients_at_full_width(architecture):
    stock, compact = pair(**FULL[architecture])
    arguments = [a.double() if a.is_floating_point() else a for a in teacher_forced()]
    expected = gradients(stock.double(), arguments)
    found = gradients(compact.double(), arguments)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        assert torch.allclose(gradient, found[name], atol=1e-9), name


def test_gradients_of_a_narrow_decoder():
    """Those of ESPnet's decoder, for the units that stay; none is without one."""
    kept = [{**VOID_HEADS, "ffn": [2, 20]}] * LAYERS
    stock, compact = narrow_pair(kept)
    arguments = [a.double() if a.is_floating_point() else a for a in teacher_forced()]
    expected = gradients(stock.double(), arguments)
    found = gradients(compact.double(), arguments)
    w_1 = "decoders.1.feed_forward.w_1.weight"
    assert torch.allclose(expected[w_1][[2, 20]], found[w_1], atol=1e-9)
    out = "decoders.0.src_attn.linear_out.bias"
    assert torch.allclose(expected[out], found[out], atol=1e-9)
    waiting = {n for n, p in compact.named_parameters() if p.requires_grad}
    assert found.keys() == waiting


def test_dropout_is_the_same_in_training():
    stock, compact = pair(self_attention_dropout_rate=0.3, dropout_rate=0.2)
    outputs = []
    for decoder in (stock.train(), compact.train()):
        torch.manual_seed(5)
        outputs.append(decoder(*teacher_forced())[0])
    assert torch.equal(*outputs)


def test_weights_have_the_stock_names_and_shapes():
    stock, compact = pair()
    shapes = {n: t.shape for n, t in stock.state_dict().items()}
    assert shapes == {n: t.shape for n, t in compact.state_dict().items()}
    assert all(t.is_floating_point() for t in compact.state_dict().values())


@pytest.mark.parametrize("strict", [True, False])
def test_incomplete_weights_are_refused(strict):
    stock, compact = pair()
    weights = stock.state_dict()
    del weights["decoders.1.src_attn.linear_k.weight"]
    with pytest.raises(RuntimeError, match=r"1 weights of CompactTransformerDecoder"):
        compact.load_state_dict(weights, strict=strict)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(ffn=-1), r"decoder_conf.widths\[1\].ffn=-1 must be a number of units"),
        (dict(self_query=[1]), r"\[1\].self_query=\[1\] must be a list of 4 widths"),
        (dict(source_value=[1, 1, 1, None]), r"source_value=None must be a number"),
        (dict(macaron=3), r"\[1\] has ffn, macaron, .* but this architecture needs"),
    ],
)
def test_wrong_widths_are_refused(change, message):
    units = {name: [1] * HEADS for name in NOTHING}
    widths = [{"ffn": 2, **units}, {"ffn": 2, **units, **change}]
    with pytest.raises(ValueError, match=message):
        CompactTransformerDecoder(**SMALL, widths=widths)


def test_widths_of_other_layers_are_refused():
    with pytest.raises(ValueError, match="has 1 entries but num_blocks is 2"):
        CompactTransformerDecoder(**SMALL, widths=[{}])
    if HAS_QK_NORM:
        widths = [{"ffn": 2, **{n: [1] * HEADS for n in NOTHING}}] * LAYERS
        with pytest.raises(ValueError, match="with widths cannot have qk_norm: true"):
            CompactTransformerDecoder(**SMALL, widths=widths, **QK_NORM)
    with pytest.raises(ValueError, match=r"^decoder_conf.novelty=3: the installed"):
        CompactTransformerDecoder(**SMALL, novelty=3)


@torch.no_grad()
@pytest.mark.parametrize("kept", [None, "void_heads", "everything_empty"])
def test_quantised(kept):
    """Dynamic quantisation reaches the layers, and leaves the steps as they are."""
    _, compact = pair() if kept is None else narrow_pair(KEPT[kept])
    small = quantize(compact)
    memory = memory_of(11)
    ys, states = torch.tensor([[1], [2]]), [None, None]
    for _ in range(3):
        y, states = small.batch_score(ys, states, memory.expand(2, -1, -1))
        full, _ = small(
            memory.expand(2, -1, -1),
            torch.tensor([11, 11]),
            ys,
            torch.tensor([ys.size(1)] * 2),
        )
        assert (y - full[:, -1].log_softmax(-1)).abs().max() < 0.5
        exact, _ = compact.score(ys[0], None, memory)
        assert (y[0] - exact).abs().max() < 0.5
        ys = torch.cat([ys, y.argmax(-1, keepdim=True)], dim=1)


@torch.no_grad()
@pytest.mark.parametrize("kept", [None, "half", "void_heads"])
def test_partially_autoregressive_decoding(kept):
    stock, compact = pair() if kept is None else narrow_pair(KEPT[kept])
    memory = memory_of(8)
    ys = torch.tensor([[1, 2], [3, 0]])
    lengths = torch.tensor([2, 1])
    states = other_states = [None, None]
    for step in range(3):
        xs = memory.expand(2, *memory.shape)
        expected, states = stock.batch_score_partially_AR(ys, states, xs, lengths)
        y, other_states = compact.batch_score_partially_AR(
            ys, other_states, xs, lengths
        )
        assert (y - expected).abs().max() < 1e-4
        ys = torch.cat([ys, torch.zeros(2, 1, dtype=torch.long)], dim=1)
        ys[[0, 1], lengths] = step + 4
        lengths = lengths + 1


def test_copies_are_independent():
    stock, compact = pair()
    twin = copy.deepcopy(compact)
    with torch.no_grad():
        twin.decoders[0].src_attn.linear_v.weight.zero_()
    check(stock, compact)
    assert (
        compact_decoder(stock_decoder(1)).state_dict().keys()
        == twin.state_dict().keys()
    )
