"""The decoder with gates computes what ESPnet's does, and with masks what is left."""

import pytest
import torch
from support.decoders import (
    ARCHITECTURES,
    HAS_QK_NORM,
    HEADS,
    HIDDEN,
    LAYERS,
    QK_NORM,
    SIZE,
    SMALL,
    adaptive_decoder,
    keep_of,
    memory_of,
    narrow_pair,
    random_kept,
    stock_decoder,
    teacher_forced,
)
from support.encoders import randomise

from espnet_adaptive_dropout.decoders.adaptive import AdaptiveDropoutTransformerDecoder
from espnet_adaptive_dropout.pruning.trained import set_masks
from espnet_adaptive_dropout.units.locations import names_of


def double(arguments):
    return [a.double() if a.is_floating_point() else a for a in arguments]


def outputs_and_gradients(decoder, seed=0):
    """Outputs on real tokens, and gradients of the weights and of the source."""
    memory, *others = double(teacher_forced(seed))
    memory.requires_grad_()
    y, _ = decoder(memory, *others)
    real = y[torch.arange(y.size(1))[None] < others[2][:, None]]
    real.square().sum().backward()
    weights = {
        name: parameter.grad
        for name, parameter in decoder.named_parameters()
        if not name.endswith("logits")
    }
    return real.detach(), {**weights, "memory": memory.grad}


def assert_equal(found, expected, tolerance=1e-10):
    (y, gradients), (other, others) = found, expected
    assert (y - other).abs().max() < tolerance
    assert gradients.keys() == others.keys()
    for name, gradient in others.items():
        assert (gradients[name] - gradient).abs().max() < tolerance, name


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_open_gates_are_espnet(architecture, mode):
    options = {
        **ARCHITECTURES[architecture],
        **dict(dropout_rate=0.0, positional_dropout_rate=0.0),
        **dict(self_attention_dropout_rate=0.0, src_attention_dropout_rate=0.0),
    }
    stock = stock_decoder(**options).double()
    adaptive = adaptive_decoder(stock, **options).double()
    if mode == "train":
        stock.train()
        adaptive.train().begin_step()
    expected = outputs_and_gradients(stock)
    assert_equal(outputs_and_gradients(adaptive), expected)


def test_dropout_is_espnets_while_nothing_is_sampled():
    stock = stock_decoder(dropout_rate=0.3, self_attention_dropout_rate=0.2).train()
    adaptive = adaptive_decoder(
        stock, dropout_rate=0.3, self_attention_dropout_rate=0.2
    ).train()
    adaptive.begin_step()
    results = []
    for decoder in (stock, adaptive):
        torch.manual_seed(3)
        results.append(decoder(*teacher_forced())[0])
    assert (results[0] - results[1]).abs().max() < 1e-5


@pytest.mark.parametrize("share", [0.2, 0.6])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_masks_are_units_that_espnet_has_at_zero(architecture, share):
    options = ARCHITECTURES[architecture]
    kept = random_kept(share, seed=1)
    adaptive = adaptive_decoder(stock_decoder(**options), **options).double().eval()
    set_masks(adaptive.units, keep_of(kept))
    zeroed, compact = narrow_pair(kept, **options)
    zeroed.double()
    y, _ = outputs_and_gradients(adaptive)
    other, _ = outputs_and_gradients(zeroed)
    assert (y - other).abs().max() < 1e-10
    # One token after the other, as in a search
    memory, tokens = memory_of(9).double(), torch.tensor([[1, 3, 2, 5, 7]])
    states = other_states = narrow = [None]
    compact.double()
    with torch.no_grad():
        for known in range(1, 6):
            ys, xs = tokens[:, :known], memory[None]
            scores, states = adaptive.batch_score(ys, states, xs)
            expected, other_states = zeroed.batch_score(ys, other_states, xs)
            small, narrow = compact.batch_score(ys, narrow, xs)
            assert (scores - expected).abs().max() < 1e-10
            assert (scores - small).abs().max() < 1e-10


def test_every_location_has_a_gate_that_acts():
    adaptive = adaptive_decoder(stock_decoder()).eval()
    table = adaptive.units
    assert {group.location for group in table.gated_groups()} == set(
        names_of("decoder")
    )
    assert table.num_units == LAYERS * (HIDDEN + 4 * SIZE)
    whole = adaptive(*teacher_forced())[0]
    for group in table.groups:
        keep = torch.ones(table.num_units, dtype=torch.bool)
        keep[group.start + 1] = False
        set_masks(table, keep)
        change = (adaptive(*teacher_forced())[0] - whole).abs().max()
        assert change > 1e-4, (group.block, group.location)


def test_padding_has_no_effect():
    adaptive = adaptive_decoder(stock_decoder()).double().eval()
    set_masks(adaptive.units, keep_of(random_kept(0.5)))
    memory, lengths, tokens, token_lengths = double(teacher_forced())
    together, _ = adaptive(memory, lengths, tokens, token_lengths)
    for row, (time, known) in enumerate(zip(lengths, token_lengths)):
        one = (memory[row, None, :time], time[None], tokens[row, None, :known])
        alone, _ = adaptive(*one, known[None])
        assert (together[row, :known] - alone[0]).abs().max() < 1e-10


def test_widths_and_cost_of_what_is_left():
    kept = random_kept(0.5, seed=4)
    adaptive = adaptive_decoder(stock_decoder())
    keep = adaptive.units.without_unused(keep_of(kept))
    compact = adaptive.compact(keep)
    weights = sum(parameter.numel() for parameter in compact.parameters())
    left = adaptive.units.parameters.total - adaptive.units.removed(keep)
    assert weights == left
    widths = [layer.feed_forward.w_1.out_features for layer in compact.decoders]
    assert widths == [len(layer["ffn"]) for layer in kept]


def test_a_head_without_values_loses_its_queries():
    table = adaptive_decoder(stock_decoder()).units
    keep = torch.ones(table.num_units, dtype=torch.bool)
    for group in table.groups:
        if group.location == "source_value":
            keep[group.start : group.start + group.num_units // HEADS] = False
    left = table.without_unused(keep)
    for group in table.groups:
        heads = left[group.span].view(group.heads, -1).any(dim=1).tolist()
        first = group.location not in ("source_query", "source_value")
        assert heads == [first] + [True] * (group.heads - 1), group


def test_checkpoints_are_exchanged_with_espnet():
    stock = stock_decoder()
    adaptive = adaptive_decoder(stock)
    state = adaptive.state_dict()
    for name, value in stock.state_dict().items():
        assert torch.equal(state[name], value), name
    del state["decoders.0.src_attn.linear_q.weight"]
    with pytest.raises(
        RuntimeError, match="1 weights of AdaptiveDropoutTransformerDec"
    ):
        AdaptiveDropoutTransformerDecoder(**SMALL).load_state_dict(state, strict=False)


def test_no_locations_is_espnets_decoder():
    decoder = AdaptiveDropoutTransformerDecoder(
        **SMALL, adaptive_dropout_conf=dict(locations=[])
    )
    randomise(decoder)
    stock = stock_decoder()
    assert decoder.state_dict().keys() == stock.state_dict().keys()
    y, _ = decoder.eval()(*teacher_forced())
    assert torch.equal(y, stock(*teacher_forced())[0])


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        (dict(locations=["query"]), "'query' is one of the encoder: name it in encod"),
        (dict(locations=["ffm"]), "unknown location 'ffm'"),
        (dict(target_reduction=0.9), "above what the locations can give"),
        (dict(locations=["self_query"]), "above what the locations can give"),
    ],
)
def test_wrong_options_are_refused(conf, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveDropoutTransformerDecoder(
            **SMALL, adaptive_dropout_conf=dict(dict(total_steps=100), **conf)
        )


@pytest.mark.skipif(not HAS_QK_NORM, reason="ESPnet 202511 has no such option")
def test_attention_that_is_normalised_keeps_its_units():
    conf = dict(target_reduction=0.1, total_steps=100)
    decoder = AdaptiveDropoutTransformerDecoder(
        **SMALL, **QK_NORM, adaptive_dropout_conf=conf
    )
    gated = {group.location for group in decoder.units.gated_groups()}
    assert gated == {"decoder_ffn"}
    with pytest.raises(ValueError, match="cannot be pruned in this decoder: qk_norm"):
        conf["locations"] = ["self_value"]
        AdaptiveDropoutTransformerDecoder(
            **SMALL, **QK_NORM, adaptive_dropout_conf=conf
        )


def test_a_training_that_does_not_move_the_logits_is_refused():
    adaptive = adaptive_decoder(stock_decoder()).train()
    with pytest.raises(RuntimeError, match=r"call decoder.begin_step\(\) before the"):
        adaptive(*teacher_forced())
    adaptive.begin_step()
    adaptive(*teacher_forced())
    with pytest.raises(RuntimeError, match=r"call decoder.regularise\(loss\) in every"):
        adaptive.begin_step()


def test_logits_follow_the_loss_of_all_calls_in_a_step():
    """A model may run its decoder more than once, or not at all."""
    options = dict(dropout_rate=0.0, positional_dropout_rate=0.0)
    stock = stock_decoder(**options)
    # Gradients of the loss alone: the penalty is at its minimum.
    conf = dict(control="schedule", centre_first=4.0, centre_last=4.0, total_steps=10)
    conf["forward"] = "deterministic"

    def moved(calls):
        decoder = adaptive_decoder(stock, conf, **options).train()
        decoder.begin_step()
        loss = decoder.embed[0].weight.sum() * 0.0
        for _ in range(calls):
            loss = loss + decoder(*teacher_forced())[0].square().mean() / calls
        loss = loss.reshape(1)
        decoder.regularise(loss)
        loss.backward()
        assert decoder.control.optimizer.updates == 1
        return decoder.control.optimizer.mean.clone()

    once, twice, never = moved(1), moved(2), moved(0)
    assert once.abs().max() > 1e-6 and (once != 0.0).float().mean() > 0.8
    assert torch.allclose(once, twice, rtol=1e-3, atol=1e-9)
    assert not never.any()
