import pytest
import yaml

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
        (dict(multiple_of=0), "multiple_of must be positive: 0"),
        (dict(multiple_of=-1), "multiple_of must be positive: -1"),
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
        (dict(ramp_end=0.9, freeze_at=0.5), "freeze_at=0.5 comes before ramp_end=0.9"),
        (dict(ramp_start=0.8, ramp_end=0.7), "ramp_end"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveDropoutConfig.from_dict(options)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(alpha="much"), "alpha='much' is not a number"),
        (dict(alpha=True), "alpha=True is not a number"),
        (dict(target_reduction=None), "target_reduction=None is not a number"),
        (dict(target_reduction=[0.54]), r"target_reduction=\[0.54\] is not a number"),
        (dict(ramp_end={}), "ramp_end={} is not a number"),
        (dict(initial_logit=float("nan")), "initial_logit=nan is not a finite number"),
        (dict(initial_logit=float("inf")), "initial_logit=inf is not a finite number"),
        (dict(freeze_at=float("nan")), "freeze_at=nan is not a finite number"),
        (dict(distillation=".nan"), "distillation='.nan' is not a number"),
        (dict(distillation="nan"), "distillation='nan' is not a finite number"),
        (dict(alpha=float("inf")), "alpha=inf is not a finite number"),
        (dict(cost_frames=1.5), "cost_frames=1.5 is not a whole number"),
        (dict(cost_frames=-1), "cost_frames must be positive: -1"),
        (dict(multiple_of=1.5), "multiple_of=1.5 is not a whole number"),
        (dict(multiple_of="eight"), "multiple_of='eight' is not a number"),
        (dict(multiple_of=None), "multiple_of=None is not a number"),
        (dict(total_steps="many"), "total_steps='many' is not a number"),
        (dict(locations={}), "locations={} is not a list of locations, nor 'all'"),
        (dict(locations=[["ffn"]]), "locations=.* is not a list of locations"),
        (dict(locations=["ffn", "fnn"]), "locations: unknown location 'fnn'; known"),
        (dict(family=0.3), "family=0.3 is not a list of numbers"),
        (dict(family=[0.3, None]), "family=None is not a number"),
        (dict(control=None), "control=None is not text"),
        (dict(history_dir=3), "history_dir=3 is not text"),
        ("all", "adaptive_dropout_conf='all' is not a mapping of options"),
    ],
)
def test_wrong_types_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveDropoutConfig.from_dict(options)


@pytest.mark.parametrize(
    "options, schedule",
    [
        ({}, (0.2, 0.3, 0.35)),
        (dict(ramp_start=0.5), (0.5, 0.6, 0.65)),
        (dict(ramp_end="5e-1"), (0.2, 0.5, 0.55)),
        (dict(freeze_at=0.8), (0.2, 0.3, 0.8)),
        (dict(ramp_start=0.98), (0.98, 1.0, 1.0)),
        (dict(control="schedule"), (0.3, 0.7, 0.75)),
    ],
)
def test_the_schedule_follows_from_the_options_that_are_given(options, schedule):
    config = AdaptiveDropoutConfig.from_dict(options)
    assert (config.ramp_start, config.ramp_end, config.freeze_at) == schedule


def test_numbers_that_yaml_reads_as_text_are_numbers():
    options = yaml.safe_load(
        "{alpha: 5e-3, target_reduction: '0.54', cost_frames: 1e3, family: [3e-1]}"
    )
    assert isinstance(options["alpha"], str)
    config = AdaptiveDropoutConfig.from_dict(options)
    assert (config.alpha, config.target_reduction) == (0.005, 0.54)
    assert config.cost_frames == 1000 and isinstance(config.cost_frames, int)
    assert config.family == [0.3]


def test_size_options_are_equal_where_they_mean_the_same():
    def size(**options):
        return AdaptiveDropoutConfig.from_dict(options).size_options()

    paper = ["value", "query", "ffn", "ffn_macaron", "conv_input"]
    assert size(locations=paper, family=[]) == size()
    assert size(family=[0.3, 0.2]) == size(family=[0.2, 0.3]) != size()
    assert size(target_reduction=0.3)["target_reduction"] == 0.3
    assert size(alpha=1.0) == size() == size(multiple_of=1) != size(multiple_of=8)


@pytest.mark.parametrize(
    "options, freezes",
    [({}, True), (dict(freeze_at=1.0), False), (dict(control="schedule"), False)],
)
def test_freezes(options, freezes):
    assert AdaptiveDropoutConfig.from_dict(options).freezes is freezes
