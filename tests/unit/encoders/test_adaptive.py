import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from support.encoders import (
    ARCHITECTURES,
    adaptive,
    batch,
    difference,
    options_of,
    stock_of,
)

from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_units_kept_equals_the_stock_encoder(architecture):
    options = options_of(architecture)
    encoder = adaptive(options)
    stock = stock_of(encoder, options)
    features, lengths = batch(options["input_size"])
    assert difference(stock, encoder, features, lengths) <= 3e-6
    ours = {n for n in encoder.state_dict() if "logits" not in n and "control" not in n}
    assert ours == set(stock.state_dict())


def test_without_locations_training_equals_the_stock_encoder():
    options = options_of("latest")
    encoder = adaptive(options, locations=[])
    stock = stock_of(encoder, options)
    features, lengths = batch()
    outputs = []
    for module in (encoder.train(), stock.train()):
        torch.manual_seed(3)
        outputs.append(module(features, lengths)[0])
    assert torch.equal(*outputs)
    assert set(encoder.state_dict()) == set(stock.state_dict())


@pytest.mark.parametrize("architecture", ["latest", "absolute", "conv1d", "relu"])
def test_deterministic_gates_leave_the_stock_training_until_units_go(architecture):
    # the convolution module keeps its output in another order, and dropout follows it
    options = dict(options_of(architecture), use_cnn_module=False, macaron_style=True)
    encoder = adaptive(options, forward="deterministic")
    stock = stock_of(encoder, options)
    features, lengths = batch()
    outputs = []
    for module in (encoder.train(), stock.train()):
        torch.manual_seed(3)  # the same units fall to the ordinary dropout
        outputs.append(module(features, lengths)[0])
    assert torch.allclose(*outputs, atol=3e-6)
    torch.manual_seed(4)
    assert not torch.allclose(stock(features, lengths)[0], outputs[0], atol=1e-2)


def test_signature_has_the_stock_names_and_defaults():
    import inspect

    ours = inspect.signature(AdaptiveDropoutConformerEncoder.__init__).parameters
    stock = inspect.signature(ConformerEncoder.__init__).parameters
    for name, parameter in stock.items():
        assert name in ours
        if name != "interctc_layer_idx":  # a mutable default there
            assert ours[name].default == parameter.default, name


@pytest.mark.parametrize(
    "options, locations, message",
    [
        (dict(use_cnn_module=False), ["conv_input"], "use_cnn_module"),
        (dict(macaron_style=False), ["ffn_macaron"], "macaron_style"),
        ({}, ["attention"], "unknown location 'attention'"),
        (
            dict(
                pos_enc_layer_type="abs_pos",
                selfattention_layer_type="selfattn",
                qk_norm=True,
            ),
            ["query"],
            "qk_norm",
        ),
    ],
)
def test_refuses_what_cannot_be_pruned(options, locations, message):
    options = {**options_of("relu"), **options}
    with pytest.raises(ValueError, match=message):
        adaptive(options, locations=locations)


def test_default_locations_leave_out_what_cannot_be_pruned():
    options = {**options_of("absolute"), "qk_norm": True}
    encoder = adaptive(options, locations=None)
    assert {name for _, name in encoder.units.gates} == {"ffn", "conv_input"}
    encoder = adaptive(options, locations="all")
    names = {name for _, name in encoder.units.gates}
    assert names == {
        *("ffn", "conv_input", "conv_channel", "subsampling_1", "subsampling_2")
    }


@pytest.mark.parametrize(
    "location",
    ["ffn", "ffn_macaron", "query", "value", "conv_input", "conv_channel"],
)
def test_locations_are_switched_on_by_name(location):
    encoder = adaptive(options_of("latest"), locations=[location])
    assert set(encoder.units.gates) == {(0, location), (1, location)}


def test_the_subsampling_is_switched_on_by_one_name():
    encoder = adaptive(options_of("latest"), locations=["subsampling", "ffn"])
    assert set(encoder.units.gates) == {
        *((None, "subsampling_1"), (None, "subsampling_2"), (0, "ffn"), (1, "ffn"))
    }


def test_target_above_the_bound_is_refused_with_the_bounds():
    for target, locations, message in (
        (
            0.7,
            ["query", "value"],
            r" \(query .*%, value .*; .* or take 'locations: all'$",
        ),
        (0.999, "all", r"; ask for less$"),
    ):
        with pytest.raises(ValueError, match=f"{target:.1%} is above .*{message}"):
            adaptive(
                options_of("latest"),
                control="feedback",
                target_reduction=target,
                locations=locations,
            )


def test_training_needs_its_length():
    encoder = adaptive(options_of("latest"), total_steps=None).train()
    with pytest.raises(RuntimeError, match="total_steps is not set"):
        encoder(*batch())


def test_forgotten_penalty_is_noticed():
    encoder = adaptive(options_of("latest")).train()
    encoder(*batch())
    with pytest.raises(RuntimeError, match="nothing moves the logits"):
        encoder(*batch())


@pytest.mark.parametrize("forward", ["hard", "deterministic"])
@pytest.mark.parametrize("architecture", ["latest", "absolute", "conv1d"])
def test_every_logit_and_weight_gets_a_gradient(architecture, forward):
    encoder = adaptive(
        options_of(architecture),
        forward=forward,
        initial_logit=0.5,
    ).train()
    output = encoder(*batch())[0]
    leaves = {key: gate.leaf for key, gate in encoder.units.gates.items()}
    output.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert ("logits" in name) == (parameter.grad is None), name
    for key, leaf in leaves.items():
        assert leaf.grad.abs().max() > 0, key


def test_missing_weights_are_an_error_even_if_not_strict():
    encoder = adaptive(options_of("latest"))
    state = encoder.state_dict()
    del state["encoders.0.feed_forward.dropout.logits"]
    with pytest.raises(RuntimeError, match="1 weights of .* are not in the"):
        encoder.load_state_dict(state, strict=False)


def test_state_of_the_size_control_is_not_needed_for_inference():
    encoder = adaptive(options_of("latest"))
    state = {k: v for k, v in encoder.state_dict().items() if "control." not in k}
    assert len(state) < len(encoder.state_dict())
    encoder.load_state_dict(state, strict=False)
    with pytest.raises(RuntimeError, match="Missing key"):
        encoder.load_state_dict(state, strict=True)


def test_checkpoint_of_an_older_release_is_renamed():
    """As ESPnet's --init_param leaves it: the model's own key and the old one."""
    encoder = adaptive(options_of("latest"))
    state = dict(encoder.state_dict())
    mine = "embed.out.weight" if "embed.out.weight" in state else "embed.out.0.weight"
    other = {"embed.out.weight": "embed.out.0.weight"}.get(mine, "embed.out.weight")
    state[other] = torch.full_like(state[mine], 7.0)
    encoder.load_state_dict(state, strict=False)
    assert (encoder.state_dict()[mine] == 7.0).all()


def test_macs_are_counted_before_the_first_step():
    encoder = adaptive(options_of("latest"), cost="macs", cost_frames=50)
    assert encoder.control.cost.name == "macs"
    encoder.train()(*batch())
    assert encoder.control.steps == 1
