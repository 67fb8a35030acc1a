import json
import shutil
import sys
from unittest import mock

import pytest
import torch
import yaml
from support.experiments import make_experiment, model_options

from espnet_adaptive_dropout.bin import prune, sweep
from espnet_adaptive_dropout.experiments.tables import read_table
from espnet_adaptive_dropout.plugin import runner
from espnet_adaptive_dropout.pruning.sweep import cuts, decoding
from espnet_adaptive_dropout.pruning.sweep.cuts import row_name


def command(directory, *extra, targets=("0.2", "0.3")):
    return [
        *model_options(directory),
        *("--output_dir", str(directory.parent / "sweep")),
        *("--target_reduction", *targets),
        *extra,
    ]


def run(directory, *extra, **targets):
    sweep.main(command(directory, *extra, **targets))
    return json.loads((directory.parent / "sweep/sweep.json").read_text())


def direct_loss(config_dir):
    """Loss of all utterances together, by hand."""
    from espnet2.tasks.asr import ASRTask

    from espnet_adaptive_dropout.experiments.data import labelled_batches, triplets

    model, args = ASRTask.build_model_from_file(
        config_dir / "config.yaml", config_dir / "valid.pth", "cpu"
    )
    source = triplets(None, vars(args), "valid", "")
    (_, batch), *rest = labelled_batches(ASRTask, vars(args), source, 9)
    assert rest == []
    with torch.no_grad():
        return model.eval()(**batch)[0].item()


def test_cuts_scores_and_tables(experiment, capsys):
    result = run(experiment)
    directory = experiment.parent / "sweep"
    trained, *cut = result["sizes"]
    assert [row["name"] for row in cut] == ["r20", "r30"]
    for row, target in zip(cut, (0.2, 0.3)):
        assert row["target_reduction"] == target
        assert row["reduction"] == pytest.approx(target, abs=0.01)
        report = json.loads((directory / row["name"] / "report.json").read_text())
        assert report["certificate"]["holds"]
        assert row["encoder_params"] == report["after"]["encoder_params"]
        assert row["encoder_macs"] == report["after"]["encoder_macs"]
        expected = direct_loss(directory / row["name"])
        assert row["valid"]["loss"] == pytest.approx(expected, rel=1e-5)
        assert (directory / row["name"] / "plan.yaml").exists()
    assert trained["name"] == "trained" and trained["target_reduction"] is None
    assert trained["valid"]["loss"] == pytest.approx(direct_loss(experiment), rel=1e-5)
    assert {"acc", "cer_ctc"} <= set(trained["valid"])
    # the gates were decided by chance: about a half of the units is gone
    assert 0.3 < trained["reduction"] < 0.6
    assert trained["encoder_params"] < cut[1]["encoder_params"]
    table = (directory / "sweep.md").read_text()
    assert table.count("\n| r") == 2 and "| trained | " in table
    # A cut may be larger than the model at the size of its training.
    assert "the same checkpoint cut to other sizes, larger or smaller" in table
    assert f"{cut[0]['encoder_params']:,}" in table
    assert table.splitlines()[-1] in capsys.readouterr().out


def test_cuts_are_those_of_bin_prune(experiment):
    run(experiment, "--skip_validation", targets=["0.25"])
    compact = experiment.parent / "compact"
    options = command(experiment, targets=["0.25"])
    options[options.index("--output_dir") + 1] = str(compact)
    prune.main(options)
    swept = experiment.parent / "sweep/r25"
    assert (swept / "plan.yaml").read_text() == (compact / "plan.yaml").read_text()
    states = [torch.load(d / "valid.pth", weights_only=True) for d in (swept, compact)]
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_run_again_makes_only_what_is_missing(experiment, monkeypatch, capsys):
    first = run(experiment, targets=["0.2"])
    made = []

    def write(*args, real=cuts.write_experiment):
        made.append(1)
        return real(*args)

    monkeypatch.setattr(cuts, "write_experiment", write)
    time = (experiment.parent / "sweep/r20/valid.pth").stat().st_mtime_ns
    again = run(experiment, targets=["0.3", "0.2"])
    assert len(made) == 1
    assert (experiment.parent / "sweep/r20/valid.pth").stat().st_mtime_ns == time
    assert again["sizes"][:2] == first["sizes"]
    assert "r20: kept from an earlier run" in capsys.readouterr().out
    # another order of the units, or another checkpoint, is another model
    run(experiment, "--criterion", "random", targets=["0.2"])
    assert len(made) == 2
    state = torch.load(experiment / "valid.pth", weights_only=True)
    state["encoder.after_norm.bias"] += 1.0
    torch.save(state, experiment / "valid.pth")
    other = run(experiment, "--criterion", "random", targets=["0.2"])
    assert len(made) == 3
    assert other["sizes"][0]["valid"] != first["sizes"][0]["valid"]


def test_criterion_is_asked_once(experiment, monkeypatch):
    asked = []
    monkeypatch.setattr(
        cuts, "rank", lambda *args, real=cuts.rank: asked.append(1) or real(*args)
    )
    run(experiment, "--criterion", "magnitude", "--skip_validation")
    assert len(asked) == 1


def test_stock_checkpoint(tmp_path):
    directory = tmp_path / "exp"
    make_experiment(directory, "conformer")
    result = run(directory, "--criterion", "magnitude", targets=["0.3"])
    assert result["sizes"][0]["reduction"] == 0
    assert result["sizes"][0]["valid"]["loss"] == pytest.approx(direct_loss(directory))
    assert result["sizes"][1]["reduction"] == pytest.approx(0.3, abs=0.01)


def test_batches_of_the_training(experiment):
    lengths = {"utt0": 16000, "utt1": 20000, "utt2": 24000}
    shapes = experiment / "shapes"
    shapes.write_text("".join(f"{n} {length}\n" for n, length in lengths.items()))
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    config.update(valid_shape_file=[str(shapes)], batch_type="unsorted", batch_size=2)
    config.update(num_workers=0)
    (experiment / "config.yaml").write_text(yaml.safe_dump(config))
    by_shape = run(experiment, targets=["0.2"])
    shutil.rmtree(experiment.parent / "sweep")
    data = yaml.safe_load((experiment / "config.yaml").read_text())
    given = [",".join(item) for item in data["valid_data_path_and_name_and_type"]]
    options = [word for item in given for word in ("--data", item)]
    # ESPnet's sampler makes one batch of three where two utterances are a batch.
    same = run(experiment, *options, "--batch_size", "3", targets=["0.2"])
    other = run(experiment, *options, "--batch_size", "1", targets=["0.2"])
    for index, row in enumerate(by_shape["sizes"]):
        assert row["valid"] == pytest.approx(same["sizes"][index]["valid"], rel=1e-5)
        cer = other["sizes"][index]["valid"]["cer_ctc"]
        assert row["valid"]["cer_ctc"] != pytest.approx(cer, rel=1e-5)


@pytest.fixture
def stand_in(monkeypatch):
    """Hypotheses without a decoder; returns the calls."""
    calls = []

    def decode(self, train_config, model_file, test_set, directory):
        calls.append((train_config.parent.name, test_set.name))
        directory.mkdir(parents=True, exist_ok=True)
        names = read_table(test_set.scp)
        return {name: "▁A ▁B" for name in names}

    monkeypatch.setattr(decoding.Decoder, "decode", decode)
    return calls


def test_word_and_character_errors(experiment, stand_in):
    (experiment / "decode.yaml").write_text("beam_size: 1\n")
    options = ["--inference_config", str(experiment / "decode.yaml")]
    result = run(experiment, *options, "--skip_validation", targets=["0.2"])
    assert stand_in == [("exp", "exp"), ("r20", "exp")]
    for row in result["sizes"]:
        # "▁A ▁B", "C", "▁B C ▁A": no error, one of 1 and an insertion, 3 of 3
        assert row["wer"] == {"exp": pytest.approx(100 * 5 / 6)}
        assert "valid" not in row
    assert "WER exp [%]" in (experiment.parent / "sweep/sweep.md").read_text()
    run(experiment, *options, "--skip_validation", targets=["0.2"])
    assert len(stand_in) == 2
    (experiment / "decode.yaml").write_text("beam_size: 2\n")
    run(experiment, *options, "--skip_validation", targets=["0.2"])
    assert len(stand_in) == 4


def test_several_test_sets(experiment, stand_in):
    sets = []
    for name in ("clean", "other"):
        sets.append(experiment.parent / name)
        sets[-1].mkdir()
        (sets[-1] / "wav.scp").write_text("a a.wav\n")
        (sets[-1] / "text").write_text("a ▁A\n")
    (experiment / "decode.yaml").write_text("beam_size: 1\n")
    options = [
        *("--inference_config", str(experiment / "decode.yaml")),
        *("--test_sets", *map(str, sets)),
    ]
    result = run(experiment, *options, "--skip_validation", targets=["0.2"])
    assert result["sizes"][1]["wer"] == {"clean": 100.0, "other": 100.0}
    (sets[1] / "text").unlink()
    message = refused(experiment, *options)
    assert f"{sets[1] / 'text'}: no such file" in message


class InThisProcess:
    """Stands in for Popen: runs the command that the plugin's runner gets."""

    returncode = 0

    def __init__(self, command, **_):
        assert command[:3] == [sys.executable, "-m", "espnet_adaptive_dropout"]
        with mock.patch("sys.argv"):
            runner.main(command[3:])

    def poll(self):
        return self.returncode

    wait = poll


def test_decoding_by_espnet(experiment, monkeypatch):
    monkeypatch.setattr(decoding.subprocess, "Popen", InThisProcess)
    (experiment / "decode.yaml").write_text(
        "beam_size: 1\nmaxlenratio: -3\nnum_workers: 0\n"
    )
    options = ["--inference_config", str(experiment / "decode.yaml"), "--nj", "2"]
    result = run(experiment, *options, "--skip_validation", targets=["0.2"])
    for row, home in zip(result["sizes"], ("trained", "r20")):
        assert row["wer"]["exp"] > 0
        directory = experiment.parent / "sweep" / home / "decode/exp"
        assert len((directory / "text").read_text().splitlines()) == 3
        scores = json.loads((directory / "scores.json").read_text())["result"]
        assert scores["utterances"] == 3 and scores["words"] == 6


def refused(directory, *extra, **targets):
    with pytest.raises(SystemExit) as stop:
        sweep.main(command(directory, *extra, **targets))
    message = str(stop.value)
    assert message.startswith("sweep: ") and "\n" not in message
    return message


def test_names_of_sizes():
    names = [row_name(target) for target in (0.2, 0.29, 0.545, 0.07)]
    assert names == ["r20", "r29", "r54.5", "r7"]
