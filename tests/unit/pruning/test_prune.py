import copy
import json
import os

import pytest
import torch
import yaml
from support.experiments import make_experiment, model_options

from espnet_adaptive_dropout.bin import prune
from espnet_adaptive_dropout.experiments.experiment import build_model, load_weights
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.experiments.sizes import macs
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.prune import cut
from espnet_adaptive_dropout.units.encoder_cost import zero_inputs
from espnet_adaptive_dropout.units.locations import by_default


def command(experiment, *extra, model="valid.pth", output="compact"):
    output_dir = str(experiment.parent / output)
    return [*model_options(experiment, model), "--output_dir", output_dir, *extra]


def run(experiment, *extra, **names):
    prune.main(command(experiment, *extra, **names))
    return experiment.parent / names.get("output", "compact")


def refused(experiment, capsys, *extra, **names):
    """Run, expect one line on stderr's side, and nothing written; return the line."""
    with pytest.raises(SystemExit) as stop:
        prune.main(command(experiment, *extra, **names))
    message = str(stop.value)
    assert stop.value.code not in (0, None)
    assert message.startswith("prune: ") and "\n" not in message
    assert sorted(p.name for p in experiment.parent.iterdir()) == ["exp"]
    return message


def load(directory, name="valid.pth"):
    from espnet2.tasks.asr import ASRTask

    return ASRTask.build_model_from_file(
        directory / "config.yaml", directory / name, "cpu"
    )[0].eval()


def test_initial_weights_where_nothing_is_left(experiment):
    """No method of ``init`` draws the weights of a convolution without units."""
    path = experiment / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, "init": "xavier_uniform"}))
    trained = open_trained(path, experiment / "valid.pth")
    keep = trained.table.without_unused(
        trained.table.all_except(["conv_input", "conv_channel"])
    )
    config, state = cut(trained, keep)
    with pytest.raises(ZeroDivisionError):
        build_model(trained.task, {**config, "init": "xavier_uniform"})
    load_weights(build_model(trained.task, config), state, "cut")


def test_ordinary_experiment_that_computes_the_same(experiment):
    compact_dir = run(experiment)
    config = yaml.safe_load((compact_dir / "config.yaml").read_text())
    assert config["encoder"] == "espnet_adaptive_dropout.compact_conformer"
    assert config["model"] == "espnet"
    assert "adaptive_dropout_conf" not in config["encoder_conf"]
    assert config["best_model_criterion"] == [["valid", "acc", "max"]]

    trained, compact = load(experiment), load(compact_dir)
    strict = torch.load(compact_dir / "valid.pth", weights_only=True)
    compact.load_state_dict(strict, strict=True)
    speech, lengths = torch.randn(2, 20000), torch.tensor([20000, 15000])
    with torch.no_grad():
        expected, n = trained.encode(speech, lengths)
        actual, m = compact.encode(speech, lengths)
    assert torch.equal(n, m)
    assert (expected - actual)[0].abs().max() < 1e-5

    report = json.loads((compact_dir / "report.json").read_text())
    removed = sum(p.numel() for p in trained.encoder.parameters()) - sum(
        p.numel() for p in compact.encoder.parameters()
    )
    gates = int(trained.encoder.units.gated().sum())
    assert report["removed_parameters"] == removed - gates
    assert report["reduction"] == pytest.approx(0.4, abs=0.01)
    assert report["after"]["encoder_macs"] < report["before"]["encoder_macs"]
    certificate = json.loads((compact_dir / "certificate.json").read_text())
    assert certificate["holds"] and certificate["utterances"] == 3
    assert certificate["random_utterances"] == 3
    assert certificate["largest_difference"] < 1e-12 and certificate["rounding"] < 1e-5
    text = (compact_dir / "report.md").read_text()
    assert "| query | value | conv_input | conv_channel | ffn |" in text
    assert "Channels of the input layer: 16 / 16 and 16 / 16." in text


def test_plan_round_trips(experiment):
    from espnet_adaptive_dropout.pruning.plan import PruningPlan

    compact_dir = run(experiment)
    plan = PruningPlan.from_dict(
        yaml.safe_load((compact_dir / "plan.yaml").read_text())
    )
    table = load(experiment).encoder.units
    assert torch.equal(plan.keep(table)[table.gated()], table.logits() > 0)


@pytest.mark.parametrize("target", [0.1, 0.25, 0.5])
def test_other_targets_from_the_same_checkpoint(experiment, target):
    compact_dir = run(experiment, "--target_reduction", str(target))
    report = json.loads((compact_dir / "report.json").read_text())
    assert report["reduction"] == pytest.approx(target, abs=0.01)


def test_a_share_of_the_macs(experiment):
    # Not of the heads: those of unequal width are filled up with zeros.
    options = ["--criterion", "magnitude", "--target_reduction", "0.05"]
    options += ["--criterion_conf", "locations=[ffn,ffn_macaron,conv_input]"]
    options += ["--cost", "macs", "--cost_frames", "400"]
    report = json.loads((run(experiment, *options) / "report.json").read_text())
    assert report["cost"] == "macs"
    assert report["cost_reduction"] == pytest.approx(0.05, abs=0.001)
    assert report["reduction"] > 0.1
    full = load(experiment)
    inputs = Inputs(*zero_inputs(full.encoder, full.encoder.input_size, 400))
    compact = load(experiment.parent / "compact")
    share = 1 - macs(compact.encoder, inputs) / macs(full.encoder, inputs)
    assert share == pytest.approx(report["cost_reduction"], abs=1e-6)
    text = (experiment.parent / "compact" / "report.md").read_text()
    assert "of its MACs (asked for 5.00% of them)" in text


@pytest.mark.parametrize(
    "criterion",
    [["random"], ["magnitude"], ["magnitude", "--criterion_conf", "norm=1"]],
)
@pytest.mark.parametrize("encoder", ["conformer", "adaptive_dropout_conformer"])
def test_other_criteria_on_stock_and_adaptive_checkpoints(tmp_path, criterion, encoder):
    directory = tmp_path / "exp"
    make_experiment(directory, encoder)
    options = ["--criterion", *criterion, "--target_reduction", "0.3"]
    report = json.loads((run(directory, *options) / "report.json").read_text())
    assert report["reduction"] == pytest.approx(0.3, abs=0.01)


def test_an_even_budget(experiment):
    options = ["--criterion", "magnitude", "--target_reduction", "0.4"]
    directory = run(experiment, *options, "--budget", "module")
    report = json.loads((directory / "report.json").read_text())
    paper = set(by_default("encoder"))
    shares = [
        group["kept"] / group["units"]
        for group in report["kept"]
        if group["location"] in paper
    ]
    assert max(shares) - min(shares) < 0.25  # 16 units at most, and void heads
    assert report["reduction"] == pytest.approx(0.4, abs=0.01)


def test_the_config_is_one_that_a_training_takes(experiment):
    from espnet2.tasks.asr import ASRTask

    path = experiment / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config.update(required=["output_dir"], version="202611", distributed=False)
    path.write_text(yaml.safe_dump(config))
    directory = run(experiment)
    parser = ASRTask.get_parser()
    args = parser.parse_args(["--config", str(directory / "config.yaml")])
    assert len(args.encoder_conf["widths"]) == args.encoder_conf["num_blocks"]


def test_averaging_then_pruning_gives_the_size_asked_for(experiment):
    states = [torch.load(experiment / "valid.pth", weights_only=True)]
    for shift in (0.05, -0.02):
        state = copy.deepcopy(states[0])
        for key, value in state.items():
            if value.is_floating_point() and "control" not in key:
                value += shift * torch.rand_like(value)
        states.append(state)
    average = {}
    for key, value in states[0].items():
        total = sum(state[key] for state in states)
        average[key] = total / 3 if value.is_floating_point() else total
    torch.save(average, experiment / "average.pth")
    compact_dir = run(experiment, model="average.pth")
    report = json.loads((compact_dir / "report.json").read_text())
    assert report["reduction"] == pytest.approx(0.4, abs=0.01)


def test_trainer_checkpoint_is_understood(experiment):
    state = torch.load(experiment / "valid.pth", weights_only=True)
    torch.save({"model": state, "reporter": {}}, experiment / "checkpoint.pth")
    assert (run(experiment, model="checkpoint.pth") / "checkpoint.pth").exists()


def test_the_curves_of_the_training_go_along(experiment):
    """ESPnet's asr.sh packs a directory of this name, be it empty."""
    compact = run(experiment)
    assert list((compact / "images").iterdir()) == []
    (experiment / "images").mkdir()
    (experiment / "images" / "loss.png").write_bytes(b"png")
    compact = run(experiment)
    assert (compact / "images" / "loss.png").read_bytes() == b"png"


def test_run_again_replaces_its_own_files_only(experiment):
    first = run(experiment)
    (first / "notes").write_text("mine")
    again = run(experiment, "--target_reduction", "0.2")
    assert (again / "notes").read_text() == "mine"
    report = json.loads((again / "report.json").read_text())
    assert report["reduction"] == pytest.approx(0.2, abs=0.01)
    assert sorted(p.name for p in experiment.parent.iterdir()) == ["compact", "exp"]


def test_unknown_criterion(experiment, capsys):
    with pytest.raises(SystemExit):
        prune.main(command(experiment, "--criterion", "beauty"))
    assert "invalid choice: 'beauty'" in capsys.readouterr().err


def test_checkpoint_without_gates(tmp_path, capsys):
    directory = tmp_path / "exp"
    make_experiment(directory, "conformer")
    message = refused(directory, capsys, "--target_reduction", "0.3")
    assert "has no gates" in message and "choose another criterion" in message


def test_certificate_beyond_tolerance_saves_nothing(experiment, capsys):
    message = refused(experiment, capsys, "--tolerance", "1e-30")
    assert "differs from the masked one by" in message
    assert "more than --tolerance 1e-30" in message


def test_what_was_written_is_what_is_certified(experiment, capsys, monkeypatch):
    save = torch.save

    def damaged(state, path):
        state = dict(state)
        state["encoder.after_norm.bias"] = state["encoder.after_norm.bias"] + 1e-6
        save(state, path)

    monkeypatch.setattr(torch, "save", damaged)
    assert "differs from the masked one by" in refused(experiment, capsys)


def test_full_disk_leaves_nothing(experiment, capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "model")

    monkeypatch.setattr(torch, "save", full)
    assert "No space left on device" in refused(experiment, capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_directory(experiment, capsys):
    experiment.parent.chmod(0o500)
    with pytest.raises(SystemExit, match="Permission denied"):
        run(experiment)


def test_quantised_inference_runs(experiment):
    from espnet2.bin.asr_inference import Speech2Text

    compact_dir = run(experiment)
    decode = Speech2Text(
        compact_dir / "config.yaml",
        compact_dir / "valid.pth",
        token_type="word",
        quantize_asr_model=True,
        beam_size=2,
        maxlenratio=-4,
    )
    assert any("quantized" in type(m).__module__ for m in decode.asr_model.modules())
    assert decode(torch.randn(16000).numpy())


def test_measure_prints_the_sizes(experiment, capsys):
    from espnet_adaptive_dropout.bin import measure

    compact_dir = run(experiment)
    capsys.readouterr()
    measure.main(model_options(compact_dir))
    measured = json.loads(capsys.readouterr().out)
    report = json.loads((compact_dir / "report.json").read_text())
    assert measured == report["after"]
