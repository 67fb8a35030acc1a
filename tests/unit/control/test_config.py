import pytest

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig


def test_defaults():
    config = AdaptiveDropoutConfig.from_dict(None)
    assert config.control == "feedback"
    assert config.freezes


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(colour="red"), "no option colour; known are locations"),
        (dict(control="magic"), "control='magic' is not one of feedback"),
        (dict(forward="maybe"), "forward='maybe'"),
        (dict(locations="ffn"), "locations='ffn' is not a list"),
        (dict(budget="head"), "budget='head' is not one of encoder, block, location"),
        (dict(cost="seconds"), "cost='seconds' is not one of parameters, macs"),
        (dict(cost_frames=0), "cost_frames must be positive"),
        (dict(gate="gaussian"), "gate='gaussian' is not one of bernoulli"),
        (dict(granularity="frame"), "granularity='frame'"),
        (dict(target_reduction=54), "target_reduction=54 is not between 0.0 and 1.0"),
        (dict(target_reduction=0.0), "target_reduction"),
        (dict(temperature=0.0), "temperature must be positive"),
        (dict(total_steps=-1), "total_steps must be positive"),
        (
            dict(forward="deterministic", gate="hard_concrete"),
            "forward=deterministic goes with gate=bernoulli, not hard_concrete",
        ),
        (dict(ramp_end=0.9), "freeze_at=0.85 comes before ramp_end=0.9"),
        (dict(ramp_start=0.8, ramp_end=0.7), "ramp_end"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveDropoutConfig.from_dict(options)


@pytest.mark.parametrize(
    "options, freezes",
    [({}, True), (dict(freeze_at=1.0), False), (dict(control="schedule"), False)],
)
def test_freezes(options, freezes):
    assert AdaptiveDropoutConfig.from_dict(options).freezes is freezes
