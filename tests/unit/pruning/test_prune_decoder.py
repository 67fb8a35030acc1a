"""``adaprune prune`` of models whose decoder loses units."""

import json

import pytest
import torch
import yaml
from espnet2.bin.asr_inference import Speech2Text
from support.decoders import zero_units
from support.experiments import (
    DECODER,
    make_experiment,
    model_options,
    refused_prune,
    run_prune,
)

from espnet_adaptive_dropout.bin import prune
from espnet_adaptive_dropout.experiments.checkpoint import is_gate_weight
from espnet_adaptive_dropout.experiments.experiment import open_model
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.sweep.cuts import Cutter
from espnet_adaptive_dropout.units.cost import Cost

ADAPTIVE = "adaptive_dropout_transformer"
COMPACT = "espnet_adaptive_dropout.compact_transformer"
GATES = dict(adaptive_dropout_conf=dict(target_reduction=0.3, total_steps=100))
LAYERS = dict(num_blocks=2, linear_units=12, attention_heads=4)


def experiment_of(root, encoder="adaptive_dropout_conformer", gated=True, **conf):
    options = {**LAYERS, **(GATES if gated else {})}
    name = ADAPTIVE if gated else "transformer"
    make_experiment(root / "exp", encoder, decoder=name, decoder_conf=options, **conf)
    return root / "exp"


def read(directory, name):
    text = (directory / name).read_text()
    return json.loads(text) if name.endswith("json") else yaml.safe_load(text)


def parameters(path, part):
    state = torch.load(path / "valid.pth")
    return sum(
        weight.numel()
        for name, weight in state.items()
        if name.startswith(f"{part}.") and not is_gate_weight(name)
    )


def removed(experiment, directory, part):
    return 1.0 - parameters(directory, part) / parameters(experiment, part)


def recognised(directory):
    recognise = Speech2Text(
        str(directory / "config.yaml"),
        str(directory / "valid.pth"),
        beam_size=4,
        nbest=4,
        maxlenratio=-6,
        lm_weight=0.0,
    )
    generator = torch.Generator().manual_seed(0)
    found = recognise(0.1 * torch.randn(16000, generator=generator))
    return [(text, float(h.score)) for text, _, _, h in found]


def assert_same(found, expected):
    assert found and [text for text, _ in found] == [text for text, _ in expected]
    for (_, score), (_, other) in zip(found, expected):
        assert abs(score - other) < 1e-4


def test_both_parts_are_cut_to_their_trained_sizes(tmp_path):
    experiment = experiment_of(tmp_path)
    directory = run_prune(experiment)
    config = read(directory, "config.yaml")
    assert config["encoder"] == "espnet_adaptive_dropout.compact_conformer"
    assert config["decoder"] == COMPACT and config["model"] == "espnet"
    assert set(config["decoder_conf"]) == {*LAYERS, "widths"}
    assert len(config["decoder_conf"]["widths"]) == LAYERS["num_blocks"]
    report = read(directory, "report.json")
    assert report["reductions"]["encoder"] == pytest.approx(0.4, abs=0.005)
    assert report["reductions"]["decoder"] == pytest.approx(0.3, abs=0.005)
    assert removed(experiment, directory, "decoder") == pytest.approx(
        report["reductions"]["decoder"]
    )
    certificate = read(directory, "certificate.json")
    assert certificate["holds"] and certificate["decoder"]["holds"]
    assert 0.0 < certificate["decoder"]["largest_difference"] < 1e-12
    # What the training evaluates with its masks is what the small model recognises.
    assert_same(recognised(directory), recognised(experiment))
    text = (directory / "report.md").read_text()
    assert "masked and the compact decoder" in text
    assert "| output layer of the decoder |" in text
    assert "| source_value |" in text


def test_decoder_alone(tmp_path):
    experiment = experiment_of(tmp_path, "conformer")
    directory = run_prune(experiment)
    config = read(directory, "config.yaml")
    assert config["encoder"] == "conformer" and config["decoder"] == COMPACT
    report = read(directory, "report.json")
    assert report["of"] == "decoder" and report["kept"] == []
    assert report["reduction"] == pytest.approx(0.3, abs=0.005)
    assert parameters(directory, "encoder") == parameters(experiment, "encoder")
    assert "The encoder stays as it is." in (directory / "report.md").read_text()
    assert_same(recognised(directory), recognised(experiment))


@pytest.mark.parametrize("decoder", ["transformer", "compact_transformer"])
def test_decoder_of_a_stock_model(tmp_path, decoder):
    make_experiment(tmp_path / "exp", "conformer", decoder=decoder, decoder_conf=LAYERS)
    options = ("--criterion", "magnitude", "--target_reduction", "0.4")
    directory = run_prune(tmp_path / "exp", "--of", "decoder", *options)
    report = read(directory, "report.json")
    assert report["reductions"] == {"decoder": pytest.approx(0.4, abs=0.005)}
    assert removed(tmp_path / "exp", directory, "decoder") == pytest.approx(
        report["reduction"]
    )
    # ESPnet's own decoder, with zeros for what is gone, scores the same.
    plan = read(directory, "plan.yaml")
    _, original = open_model(
        "asr", tmp_path / "exp" / "config.yaml", tmp_path / "exp" / "valid.pth"
    )
    _, small = open_model("asr", directory / "config.yaml", directory / "valid.pth")
    zero_units(original.decoder, plan["decoder"])
    generator = torch.Generator().manual_seed(1)
    memory = torch.randn(2, 9, 16, generator=generator)
    tokens = torch.randint(5, (2, 4), generator=generator)
    arguments = memory, torch.tensor([9, 6]), tokens, torch.tensor([4, 4])
    expected, _ = original.decoder(*arguments)
    found, _ = small.decoder(*arguments)
    assert (found - expected).abs().max() < 1e-5


def test_units_of_both_compete_for_one_target(tmp_path):
    make_experiment(tmp_path / "exp", "conformer", decoder_conf=LAYERS)
    options = ("--criterion", "magnitude", "--target_reduction", "0.35")
    directory = run_prune(tmp_path / "exp", "--of", "model", *options)
    report = read(directory, "report.json")
    before = {p: parameters(tmp_path / "exp", p) for p in ("encoder", "decoder")}
    plan = PruningPlan.from_dict(read(directory, "plan.yaml"))
    assert plan.of == "model" and plan.cost_reduction == plan.reduction
    total = plan.encoder_parameters + plan.decoder_parameters
    assert plan.decoder_parameters == before["decoder"]
    assert plan.removed_parameters / total == pytest.approx(0.35, abs=5e-4)
    assert report["reduction"] == pytest.approx(0.35, abs=5e-4)
    assert len(set(report["reductions"].values())) == 2  # not even: they compete
    text = (directory / "report.md").read_text()
    assert "of the parameters of encoder and decoder removed (" in text
    assert "| share of both |" in text

    trained = open_trained(
        tmp_path / "exp" / "config.yaml", tmp_path / "exp" / "valid.pth", of="model"
    )
    keep = plan.keep(trained.table)
    assert trained.table.reduction(keep) == pytest.approx(plan.reduction)
    kept = sum(row["kept"] for key in ("kept", "kept_decoder") for row in report[key])
    assert kept == int(keep.sum())


def test_one_target_for_what_was_trained_with_two(tmp_path):
    experiment = experiment_of(tmp_path)
    directory = run_prune(experiment, "--of", "model", "--target_reduction", "0.5")
    assert read(directory, "report.json")["reduction"] == pytest.approx(0.5, abs=1e-3)
    other = run_prune(
        experiment, "--of", "decoder", "--target_reduction", "0.5", output="b"
    )
    report = read(other, "report.json")
    assert report["reductions"]["decoder"] == pytest.approx(0.5, abs=5e-3)
    # The part that was not named is cut as it was trained.
    assert report["reductions"]["encoder"] == pytest.approx(0.4, abs=5e-3)


def test_cost_in_macs_of_a_search(tmp_path):
    experiment = experiment_of(tmp_path, "conformer")
    options = ("--cost", "macs", "--target_reduction", "0.3")
    plans = []
    for beam in ("1", "20"):
        directory = run_prune(
            experiment, *options, "--cost_beam", beam, output=f"beam{beam}"
        )
        plan = PruningPlan.from_dict(read(directory, "plan.yaml"))
        assert plan.cost == "macs"
        assert plan.cost_reduction == pytest.approx(0.3, abs=5e-3)
        plans.append(plan)
    assert plans[0].decoder != plans[1].decoder


def test_sweep_over_sizes_of_the_decoder(tmp_path):
    experiment = experiment_of(tmp_path)
    files = experiment / "config.yaml", experiment / "valid.pth"
    trained = open_trained(*files, of="decoder")
    options = PruneOptions(of="decoder", utterances=1)
    cutter = Cutter(trained, files[0], options, tmp_path / "sweep")
    rows = [cutter.as_trained(), *cutter.cut_all([0.4, 0.6], print)]
    shares = [row.facts["reduction"] for row in rows]
    assert shares == pytest.approx([0.3, 0.4, 0.6], abs=5e-3)
    assert len({row.facts["encoder_params"] for row in rows}) == 1
    assert len({row.facts["decoder_params"] for row in rows}) == 3


def test_dry_run_names_rows_of_both(tmp_path, capsys):
    experiment = experiment_of(tmp_path)
    prune.main([*model_options(experiment), "--dry_run"])
    text = capsys.readouterr().out
    assert "decoder layer 1\n" in text and "block 1\n" in text
    assert "src_attn.linear_q.weight (16x16): rows" in text
    assert "| decoder " in text and "| encoder " in text
    assert "of the encoder's parameters would go (" in text


def test_what_is_refused(tmp_path):
    experiment = experiment_of(tmp_path, "conformer")
    state = torch.load(experiment / "valid.pth")
    state["decoder.control.frozen"].zero_()
    torch.save(state, experiment / "valid.pth")
    assert "had not frozen its size yet" in refused_prune(experiment)


def test_other_models_are_refused(tmp_path):
    make_experiment(tmp_path / "exp", decoder_conf=DECODER)
    options = ("--of", "decoder", "--target_reduction", "0.2")
    message = refused_prune(tmp_path / "exp", *options)
    assert "the checkpoint has no gates in the decoder; choose" in message
    config = read(tmp_path / "exp", "config.yaml")
    config["decoder"] = "rnn"
    (tmp_path / "exp" / "config.yaml").write_text(yaml.safe_dump(config))
    message = refused_prune(tmp_path / "exp", *options)
    assert "'decoder: rnn' cannot be pruned; it must be adaptive_dropo" in message


def test_model_without_its_decoder_is_refused(tmp_path):
    make_experiment(tmp_path / "exp", "conformer", ctc_weight=1.0)
    options = ("--criterion", "random", "--target_reduction", "0.2")
    message = refused_prune(tmp_path / "exp", "--of", "decoder", *options)
    assert "the model uses no decoder (CTC only)" in message


def test_joined_costs_are_sums():
    parts = [
        Cost("parameters", torch.tensor([1.0, 2.0]).double(), 10.0),
        Cost("parameters", torch.tensor([4.0]).double(), 7.0),
    ]
    joined = Cost.joined(parts)
    assert joined.total == 17.0
    assert joined.removed(torch.tensor([0.0, 1.0, 1.0])) == 6.0
