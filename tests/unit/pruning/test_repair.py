"""``adaprune prune --repair true``."""

import json
import math

import pytest
import torch
import yaml
from support.encoders import (
    ARCHITECTURES,
    adaptive,
    compact_of,
    emptied,
    options_of,
    random_keep,
)
from support.experiments import (
    make_experiment,
    model_options,
    refused_prune,
    run_prune,
    write_audio,
)

from espnet_adaptive_dropout.bin import sweep
from espnet_adaptive_dropout.experiments import calibration
from espnet_adaptive_dropout.experiments.experiment import open_model
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.repair import repair as repair_module
from espnet_adaptive_dropout.pruning.repair.block_inputs import BlockInputs
from espnet_adaptive_dropout.pruning.repair.places import input_and_target, places_of
from espnet_adaptive_dropout.pruning.repair.repair import repair
from espnet_adaptive_dropout.pruning.repair.report import (
    LayerRepair,
    Repair,
    repair_summary,
    repaired_layers,
)

MOST = ("--target_reduction", "0.3", "--criterion", "random")


def utterances(count=10, input_size=20, frames=70):
    generator = torch.Generator().manual_seed(0)
    return [
        Inputs(
            torch.randn(1, frames - index, input_size, generator=generator),
            torch.tensor([frames - index]),
        )
        for index in range(count)
    ]


def pair(architecture="latest", **options):
    """Original and cut encoder."""
    options = {**options_of(architecture), **options}
    original = adaptive(options)
    return original, compact_of(original, options, random_keep(original.units))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(architecture):
    original, compact = pair(architecture)
    size = options_of(architecture)["input_size"]
    result = repair(original, compact, utterances(input_size=size))
    assert (result.utterances, result.held_out) == (8, 2)
    assert all(torch.isfinite(tensor).all() for tensor in compact.parameters())
    skipped = {one.layer for one in result.layers if one.result == "skipped"}
    assert skipped == ({"ffn", "ffn_macaron"} if architecture == "conv1d" else set())
    for one in result.layers:
        if one.result != "skipped":
            assert one.after < one.before or one.result in ("kept", "unchanged")
    assert result.used == (result.after < result.before)


def test_the_order_is_that_of_the_computation():
    result = repair(*pair(), utterances())
    names = ["ffn_macaron", "attention", "convolution", "ffn"]
    assert [(one.block, one.layer) for one in result.layers] == [
        (None, "subsampling"),
        *((0, name) for name in names),
        *((1, name) for name in names),
    ]


def test_units_that_others_replace_are_recovered():
    options = options_of("latest")
    original = adaptive(options)
    keep = torch.ones(original.units.num_units, dtype=torch.bool)
    with torch.no_grad():
        for layer in original.encoders:
            w_1 = layer.feed_forward.w_1
            w_1.weight[12:], w_1.bias[12:] = w_1.weight[:12], w_1.bias[:12]
    for group in original.units.groups:
        if group.location == "ffn":
            keep[group.start + 12 : group.start + 24] = False
    compact = compact_of(original, options, keep)
    result = repair(original, compact, utterances(frames=200))
    assert result.used and result.after < 0.05 * result.before
    kinds = {(one.block, one.layer): one.result for one in result.layers}
    assert kinds[0, "ffn"] == kinds[1, "ffn"] == "repaired"
    assert kinds[0, "attention"] == "unchanged"


def sum_after(block, layer):
    """The layer norm that reads the sum behind a module, whatever the module."""
    order = ["norm_ff_macaron", "norm_mha", "norm_conv", "norm_ff", "norm_final"]
    names = dict(ffn_macaron=0, attention=1, convolution=2, ffn=3)
    later = order[names[layer] + block.normalize_before :]
    return getattr(block, next(name for name in later if hasattr(block, name)))


@pytest.mark.parametrize("architecture", ["latest", "legacy", "post_norm"])
def test_a_layer_also_makes_up_for_what_the_sum_lacks(architecture):
    """With the target, the compact encoder has the sum of the original one."""
    original, compact = pair(architecture)
    (one,) = utterances(1)
    sources = BlockInputs(original, [one]), BlockInputs(compact, [one])
    places = list(places_of(original, compact))
    assert places[0].residual is None
    lacking = []
    for place in places[1:]:
        for source in sources:
            source.go_to(place.block)
        with torch.no_grad():
            found, target = input_and_target(place, *sources, 0)
            present = sources[1].tensors(0, [place.residual[0]])[0]
            norm = sum_after(original.encoders[place.block], place.name)
            wanted = sources[0].tensors(0, [norm])[0]
            alone = sources[0].tensors(0, output_of=place.original)[0]
        assert found.shape[-1] == place.layer.in_features
        assert torch.allclose(present + place.scale * target, wanted, atol=1e-5)
        lacking.append(float((target - alone).norm() / alone.norm()))
    assert max(lacking) > 0.1


def test_where_the_attention_is_not_added_as_it_is():
    original, compact = pair("concat_after")
    places = list(places_of(original, compact))
    kinds = {place.name: place.residual is None for place in places}
    assert kinds["attention"] and not kinds["ffn"]


def test_nothing_to_repair():
    options = options_of("latest")
    original = adaptive(options)
    keep = torch.ones(original.units.num_units, dtype=torch.bool)
    compact = compact_of(original, options, keep)
    before = {name: tensor.clone() for name, tensor in compact.state_dict().items()}
    result = repair(original, compact, utterances(2))
    assert {one.result for one in result.layers} == {"unchanged"}
    for name, tensor in compact.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    "locations",
    [("ffn",), ("ffn_macaron",), ("value", "query"), ("conv_channel", "conv_input")],
)
def test_of_an_empty_layer_the_bias_is_fitted(locations):
    options = options_of("latest")
    original = adaptive(options)
    keep = emptied(original.units, *locations)
    compact = compact_of(original, options, keep)
    result = repair(original, compact, utterances())
    assert all(torch.isfinite(tensor).all() for tensor in compact.parameters())
    assert "repaired" in {one.result for one in result.layers}


def copy_of(encoder):
    return {name: tensor.clone() for name, tensor in encoder.state_dict().items()}


def test_a_layer_that_gets_worse_on_held_out_audio_stays():
    """One loud frame to fit on says nothing about other audio."""
    original, compact = pair("linear_input")
    before = copy_of(compact)
    one, other = utterances(2, frames=30)
    one = Inputs(one.features[:, :1] * 100, torch.tensor([1]))
    result = repair(original, compact, [one, other])
    kept = [layer for layer in result.layers if layer.result == "kept"]
    assert kept and all(layer.after == layer.before for layer in kept)
    assert all(layer.after <= layer.before for layer in result.layers)
    names = dict(ffn="feed_forward.w_2", attention="self_attn.linear_out")
    for layer in kept:
        key = f"encoders.{layer.block}.{names.get(layer.layer)}.weight"
        if key in before:
            assert torch.equal(compact.state_dict()[key], before[key])


def test_all_weights_stay_where_the_encoder_gets_worse(monkeypatch):
    original, compact = pair()
    before = copy_of(compact)

    def error(*args):
        state = compact.state_dict()
        same = all(torch.equal(tensor, before[name]) for name, tensor in state.items())
        return 0.1 if same else 0.2

    monkeypatch.setattr(repair_module, "_output_error", error)
    result = repair(original, compact, utterances())
    assert "repaired" in {one.result for one in result.layers} and not result.used
    for name, tensor in compact.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_intermediate_ctc_with_conditioning():
    original, compact = pair("interctc")
    ctc = torch.nn.Module()
    ctc.softmax = lambda x: x[..., :4].softmax(dim=-1)
    for encoder in (original, compact):
        encoder.interctc_use_conditioning = True
        torch.manual_seed(0)
        encoder.conditioning_layer = torch.nn.Linear(4, 16)
    inputs = [Inputs(*one, dict(ctc=ctc)) for one in utterances()]
    assert repair(original, compact, inputs).layers


@pytest.fixture(params=["adaptive_dropout_conformer", "conformer"])
def more_audio(tmp_path, request):
    """An experiment with ten utterances of audio, and the option that names them."""
    make_experiment(tmp_path / "exp", request.param)
    (tmp_path / "exp" / "more").mkdir()
    scp = write_audio(tmp_path / "exp" / "more", 10)
    return tmp_path / "exp", ("--data", f"{scp},speech,sound")


def test_repaired_experiment(more_audio):
    experiment, data = more_audio
    plain = run_prune(experiment, *MOST, *data, output="plain")
    directory = run_prune(experiment, *MOST, *data, "--repair", "true")
    report, other = (
        json.loads((d / "report.json").read_text()) for d in (directory, plain)
    )
    found = report["repair"]["encoder"]
    assert (found["utterances"], found["held_out"]) == (8, 2)
    assert found["used"] and found["after"] < found["before"]
    assert report["certificate"]["holds"] and "repair" not in other
    certificate = json.loads((directory / "certificate.json").read_text())
    assert certificate == {**other["certificate"], "repaired_afterwards": True}

    _, model = open_model("asr", directory / "config.yaml", directory / "valid.pth")
    weights, others = (
        torch.load(d / "valid.pth", weights_only=True) for d in (directory, plain)
    )
    assert weights.keys() == others.keys() == model.state_dict().keys()
    changed = {k for k in weights if not torch.equal(weights[k], others[k])}
    ends = ("w_2", "linear_out", "pointwise_conv2")
    assert changed and all(key.split(".")[-2] in ends for key in changed)
    assert sorted(path.name for path in directory.iterdir()) == sorted(
        path.name for path in plain.iterdir()
    )
    text = (directory / "report.md").read_text()
    assert "difference above is that of the cut" in text and "Repair, by layer" in text
    plan, before = (
        yaml.safe_load((d / "plan.yaml").read_text()) for d in (directory, plain)
    )
    assert plan == {**before, "repaired": True}
    assert PruningPlan.from_dict(plan).repaired


def test_a_repaired_sweep(experiment):
    directory = experiment.parent / "sweep"
    options = ("--skip_validation", "--criterion", "random", "--repair", "true")
    shares = ("--target_reduction", "0.2", "0.4")
    sweep.main(
        [*model_options(experiment), "--output_dir", str(directory), *options, *shares]
    )
    for name in ("r20", "r40"):
        report = json.loads((directory / name / "report.json").read_text())
        assert report["repair"]["encoder"]["held_out"] == 1


@pytest.mark.parametrize("size", [(), ("--target_reduction", "0.2")])
def test_no_less_than_the_trained_size_needs_no_repair(experiment, size):
    plain = run_prune(experiment, *size, output="plain")
    directory = run_prune(experiment, *size, "--repair", "true")
    weights, others = (torch.load(d / "valid.pth") for d in (directory, plain))
    assert all(torch.equal(weights[name], others[name]) for name in others)
    report = json.loads((directory / "report.json").read_text())
    found = report["repair"]["encoder"]
    assert not found["used"] and found["before"] < 1e-5


def test_what_is_refused(experiment):
    alone = experiment / "alone"
    alone.mkdir()
    data = f"{write_audio(alone, 1)},speech,sound"
    message = refused_prune(experiment, "--repair", "true", *MOST, "--data", data)
    assert "--repair true: 2 utterances that are long enough are needed" in message


def test_an_encoder_that_reads_no_audio_is_refused(experiment, monkeypatch):
    monkeypatch.setattr(calibration, "data_names", lambda model: ["src_text"])
    message = refused_prune(experiment, "--repair", "true", *MOST)
    assert "--repair true: the encoder reads src_text, not audio alone" in message


def layer_result(result, block=0, layer="ffn"):
    return LayerRepair(block, layer, result, 0.5, 0.25)


def test_the_report_says_what_was_done():
    layers = [layer_result("repaired"), layer_result("kept", layer="attention")]
    layers.append(LayerRepair(1, "ffn", "skipped"))
    layers.append(layer_result("unchanged", None, "subsampling"))
    result = Repair(80, 20, 0.4, 0.1, True, layers)
    found = dict(encoder=result.to_dict())
    (summary,) = filter(None, repair_summary(found))
    assert "40.00% as cut, 10.00% with the repair" in summary
    assert "on 80 utterances" in summary and "on 20 other utterances" in summary
    table = "\n".join(repaired_layers(found))
    assert "| 0 | 50.0% -> 25.0% | kept |" in table
    assert "| input |" in table and "skipped" in table
    result.used = False
    both = dict(**found, decoder=result.to_dict())
    lines = repair_summary(both)
    assert "The weights of the encoder are not only copies" in lines[1]
    assert "The repair of the decoder is not used" in lines[3]
    assert "| layer of the decoder |" in "\n".join(repaired_layers(both))
    assert repair_summary(None) == repaired_layers(None) == []
    assert not math.isnan(json.loads(json.dumps(result.to_dict()))["after"])
