import pytest
import torch
from support.encoders import (
    ARCHITECTURES,
    adaptive,
    batch,
    compact_of,
    difference,
    emptied,
    masked,
    options_of,
    random_keep,
    stock_of,
    void_heads,
)

from espnet_adaptive_dropout.encoders.compact import CompactConformerEncoder
from espnet_adaptive_dropout.experiments.sizes import parameters
from espnet_adaptive_dropout.modules import compact_attention
from espnet_adaptive_dropout.units.widths import compact_options


def check(options, keep_of, **conf):
    encoder = adaptive(options, **conf)
    keep = keep_of(encoder.units)
    compact = compact_of(encoder, options, keep)
    folded = stock_of(encoder, options, keep)
    before = parameters(encoder)
    masked(encoder, keep)
    features, lengths = batch(options["input_size"])
    assert difference(encoder, compact, features, lengths) <= 1e-5
    assert difference(encoder, folded, features, lengths) <= 1e-5
    assert before - parameters(compact) == encoder.units.removed(keep)
    return compact


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_masked_compact_and_folded_agree(architecture):
    check(options_of(architecture), random_keep)


@pytest.mark.parametrize("architecture", ["latest", "legacy", "absolute", "conv1d"])
@pytest.mark.parametrize(
    "locations",
    [["ffn"], ["ffn_macaron"], ["query"], ["value"], ["conv_input"], ["conv_channel"]],
)
def test_emptied_modules(architecture, locations):
    check(options_of(architecture), lambda units: emptied(units, *locations))


@pytest.mark.parametrize(
    "architecture", ["latest", "conv2d1", "conv2d2", "conv2d6", "interctc"]
)
@pytest.mark.parametrize("location", ["subsampling_1", "subsampling_2"])
def test_input_layer_without_channels(architecture, location):
    check(options_of(architecture), lambda units: emptied(units, location, block=None))


def test_input_layers_of_other_kinds_keep_their_channels():
    encoder = adaptive(options_of("conv2d8"))
    everything = torch.ones(encoder.units.num_units, dtype=torch.bool)
    options = {**options_of("conv2d8"), **compact_options(encoder.units, everything)}
    assert "subsampling" not in options
    options["subsampling"] = [4, 4]
    with pytest.raises(ValueError, match="conv2d6; this one has others"):
        CompactConformerEncoder(**options)


@pytest.mark.parametrize("architecture", ["latest", "legacy", "conv1d"])
def test_everything_removed(architecture):
    check(options_of(architecture), lambda units: random_keep(units, 0.0))


@pytest.mark.parametrize("architecture", ["latest", "legacy", "absolute"])
def test_void_head_and_head_without_queries(architecture):
    compact = check(options_of(architecture), void_heads)
    attention = compact.encoders[0].self_attn
    assert attention.query_widths == [0, 0, 4, 4]
    assert attention.value_widths == [0, 4, 4, 4]


def test_ragged_heads_are_stored_without_padding():
    options = options_of("latest")
    encoder = adaptive(options)
    keep = random_keep(encoder.units)
    attention = compact_of(encoder, options, keep).encoders[0].self_attn
    assert len(set(attention.query_widths)) > 1
    assert attention.linear_q.weight.shape[0] == sum(attention.query_widths)
    assert attention.pos_bias_u.shape == (sum(attention.query_widths),)


def test_only_plain_linear_and_conv_modules():
    options = options_of("latest")
    encoder = adaptive(options)
    compact = compact_of(encoder, options, random_keep(encoder.units))
    for module in compact.encoders.modules():
        if isinstance(module, torch.nn.Linear):
            assert type(module) is torch.nn.Linear


@pytest.mark.parametrize(
    "architecture", ["latest", "legacy", "zero_triu", "absolute", "conv2d6"]
)
def test_inference_on_a_cpu_is_what_is_trained(architecture, monkeypatch):
    """Long padded batches, by the ways of inference and of training."""
    options = options_of(architecture)
    encoder = adaptive(options)
    compact = compact_of(encoder, options, random_keep(encoder.units))
    features = torch.randn(2, 1300, options["input_size"])
    lengths = torch.tensor([1300, 900])
    loops = []
    by_head = compact_attention.attend_by_head
    monkeypatch.setattr(
        compact_attention, "attend_by_head", lambda *a: loops.append(1) or by_head(*a)
    )
    trained = compact(features, lengths)[0]
    assert trained.requires_grad and not loops
    with torch.no_grad():
        output, output_lengths, _ = compact(features, lengths)
    assert loops
    for actual, expected, length in zip(output, trained, output_lengths):
        assert (actual - expected)[:length].abs().max() <= 1e-5


def test_checkpoints_have_the_shapes_of_stock_ones():
    options = options_of("latest")
    encoder = adaptive(options)
    everything = torch.ones(encoder.units.num_units, dtype=torch.bool)
    compact = compact_of(encoder, options, everything)
    stock = stock_of(encoder, options)
    stock.load_state_dict(compact.state_dict())
    flat = {
        name: tensor.squeeze(-1) if "pointwise" in name else tensor
        for name, tensor in compact.state_dict().items()
    }
    compact.load_state_dict(flat)
    features, lengths = batch()
    assert difference(stock, compact, features, lengths) <= 1e-5


@pytest.mark.parametrize("architecture", ["latest", "legacy", "absolute", "conv1d"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_every_weight_that_wants_a_gradient_gets_one(architecture, share):
    """Or distributed training would wait for it in vain."""
    options = options_of(architecture)
    encoder = adaptive(options)
    compact = compact_of(encoder, options, random_keep(encoder.units, share)).train()
    compact(*batch())[0].square().sum().backward()
    for name, parameter in compact.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name


def test_what_nobody_reads_is_not_computed():
    options = options_of("latest")
    encoder = adaptive(options)
    compact = compact_of(encoder, options, random_keep(encoder.units, 0.0))
    with torch.profiler.profile() as profile, torch.no_grad():
        compact(*batch())
    called = {event.key: event.count for event in profile.key_averages()}
    blocks = options["num_blocks"]
    # One at the end of each block, and one of the encoder
    assert called["aten::layer_norm"] == blocks + 1
    products = ("aten::addmm", "aten::bmm", "aten::mm", "aten::convolution")
    assert not set(products) & set(called)


def test_half_precision():
    options = options_of("latest")
    encoder = adaptive(options)
    compact = compact_of(encoder, options, random_keep(encoder.units))
    compact = compact.to(torch.bfloat16)
    features, lengths = batch()
    assert compact(features.bfloat16(), lengths)[0].dtype == torch.bfloat16
