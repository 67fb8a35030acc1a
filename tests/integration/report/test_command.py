import json
import re
import shutil

import pytest
from support.encoders import SMALL, adaptive
from support.experiments import (
    DECODER,
    make_experiment,
    model_options,
    pruned_experiment,
)
from torch.utils.tensorboard import SummaryWriter

from espnet_adaptive_dropout.bin import prune, report
from espnet_adaptive_dropout.control.history import RetentionHistory
from espnet_adaptive_dropout.experiments.files import MANIFEST
from espnet_adaptive_dropout.report.gather import read_wer

RESULTS = """# RESULTS
### WER

|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|
|---|---|---|---|---|---|---|---|---|
|decode/test_clean|62|402|94.5|1.5|4.0|0.7|6.2|32.3|

### CER

|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|
|---|---|---|---|---|---|---|---|---|
|decode/test_clean|62|2424|94.7|1.0|4.3|0.9|6.3|32.3|
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A pruned experiment with all that a report can show."""
    return pruned_experiment(tmp_path_factory.mktemp("report"))


@pytest.fixture
def with_history(experiment):
    trained, compact = experiment
    for phase, names in (("train", ["expected_reduction"]), ("valid", ["acc"])):
        with SummaryWriter(str(trained / "tensorboard" / phase)) as writer:
            for step in (50, 100):
                for name in names:
                    writer.add_scalar(name, step / 200, step)
    history = RetentionHistory(trained, 100)
    table = adaptive(SMALL).units
    for step in range(1, 101):
        history.record(step, table)
    (compact / "RESULTS.md").write_text(RESULTS)
    sizes = [
        dict(target_reduction=t, reduction=r, encoder_params=p, valid=dict(acc=a))
        for t, r, p, a in ((None, 0.0, 1000, 0.9), (0.5, 0.5, 500, 0.8))
    ]
    sweep = dict(experiment="exp", criterion="retention", sizes=sizes)
    (compact / "sweep.json").write_text(json.dumps(sweep))
    return trained, compact


def make_report(output, trained, *options):
    base = ["--exp", str(trained), "--output_dir", str(output)]
    report.main([*base, "--measure_time", "false", *map(str, options)])
    return (output / "report.md").read_text(), json.loads(
        (output / "report.json").read_text()
    )


def linked_files(markdown):
    return re.findall(r"\]\((.+?)\)", markdown)


def test_a_full_report(with_history, tmp_path, capsys):
    trained, compact = with_history
    output = tmp_path / "report"
    text, content = make_report(
        output,
        trained,
        *("--pruned", compact, "--pdf", "true"),
        *("--sweep", f"ours={compact}/sweep.json"),
    )
    figures = {
        "widths",
        "heads",
        "costs",
        "retention_histograms",
        "size_over_training",
        "size_validation",
    }
    assert set(linked_files(text)) == {f"{name}.png" for name in figures}
    files = {path.name for path in output.iterdir()}
    assert files == {
        *(f"{name}.{suffix}" for name in figures for suffix in ("png", "pdf")),
        *("report.md", "report.json", report.MARKER, MANIFEST),
    }
    assert set(content["figures"]) == figures
    assert content["wer"]["compact"] == {"decode/test_clean": 6.2}
    assert "| compact | decode/test_clean | 6.2 |" in text
    assert content["curves"][0]["name"] == "ours"
    assert "Score on the validation set over the size" in text
    assert content["scalars"]["valid"]["acc"]["values"] == [0.25, 0.5]
    assert content["missing"] == [
        "No WER of exp: it has no RESULTS.md with one.",
        "No ONNX and int8: no --export was given.",
        "No times: --measure_time false.",
    ]
    assert "6 figures" in capsys.readouterr().out


@pytest.fixture(scope="module")
def reported(experiment, tmp_path_factory):
    """The directory of a report, its text and its figures."""
    output = tmp_path_factory.mktemp("reported") / "report"
    return output, *make_report(output, experiment[0], "--pruned", experiment[1])


def test_costs_agree_with_the_pruning(reported):
    _, text, content = reported
    pruning, costs = content["pruning"], content["costs"]
    for name in ("before", "after"):
        for key, total in (("parameters", "encoder_params"), ("macs", "encoder_macs")):
            assert sum(costs[name][key].values()) == pruning[name][total]
    least = sum(costs["floor"]["parameters"].values())
    share = least / pruning["before"]["encoder_params"]
    assert content["unprunable_share"] == pytest.approx(share)
    assert share == pytest.approx(1.0 - pruning["bounds"]["all"])
    # The channels of the subsampling and of the convolutions had no gates.
    stays, gated = re.search(
        r"([\d.]+)% .* stay .* gates, ([\d.]+)% stay", text
    ).groups()
    assert float(stays) == pytest.approx(100 * share, abs=0.05)
    assert float(gated) > float(stays) + 5
    memory = {name: costs[name]["memory"] for name in costs}
    assert memory["floor"]["weights"] < memory["after"]["weights"]
    assert memory["after"]["activations"] < memory["before"]["activations"]


def test_what_is_not_there_is_said(tmp_path, capsys):
    trained = tmp_path / "trained"
    make_experiment(trained, encoder="conformer")
    text, content = make_report(tmp_path / "report", trained)
    assert linked_files(text) == ["costs.png"]
    assert (tmp_path / "report" / "costs.png").exists()
    said = capsys.readouterr().out
    for what in (
        "No histograms of the retention probabilities",
        "No course of the training",
        "No widths",
        "No WER of trained",
        "No size-WER curve",
        "No ONNX and int8",
        "No times",
    ):
        assert what in text and what in said
    assert len(content["missing"]) == 7


def test_a_report_can_be_made_again(experiment, reported, tmp_path):
    output = tmp_path / "report"
    shutil.copytree(reported[0], output)
    assert (output / "widths.png").exists()
    text, _ = make_report(output, experiment[0])
    assert "widths.png" not in linked_files(text)
    assert not (output / "widths.png").exists()


def test_a_compact_experiment_is_refused_as_the_full_one(experiment, tmp_path):
    with pytest.raises(SystemExit, match="not a full-width Conformer"):
        make_report(tmp_path / "report", experiment[1])


def test_only_wer_is_read_from_results(tmp_path):
    path = tmp_path / "RESULTS.md"
    assert read_wer(path) == {}
    path.write_text(RESULTS)
    assert read_wer(path) == {"decode/test_clean": 6.2}


def test_report_of_a_pruned_decoder(tmp_path):
    gates = dict(adaptive_dropout_conf=dict(target_reduction=0.3, total_steps=100))
    trained, compact = tmp_path / "exp", tmp_path / "compact"
    make_experiment(
        trained,
        decoder="adaptive_dropout_transformer",
        decoder_conf={**DECODER, **gates},
    )
    prune.main([*model_options(trained), "--output_dir", str(compact)])
    text, content = make_report(tmp_path / "report", trained, "--pruned", compact)
    assert {"widths", "widths_decoder", "heads"} <= set(content["figures"])
    assert re.search("% of the encoder's and .*% of the decoder's parameters", text)
    assert "The pruned decoder differs from the masked one by" in text
    assert len(content["pruning"]["kept_decoder"]) == 5 * DECODER["num_blocks"]
