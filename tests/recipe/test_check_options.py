"""What run.sh refuses before any stage runs."""

from __future__ import annotations

import check_options
import pytest
import yaml
from support.criteria import names_of_criteria
from support.paths import RECIPE

ADAPTIVE = str(RECIPE / "conf/train_asr_adaptive_dropout_smoke.yaml")
STOCK = str(RECIPE / "conf/train_asr_conformer_smoke.yaml")


@pytest.fixture
def check(monkeypatch, capsys):
    """Function that runs the command; returns what it prints and its error."""

    def run(*options, config=ADAPTIVE):
        command = ["check_options.py", "--asr_config", config, "--prune", "true"]
        monkeypatch.setattr("sys.argv", [*command, *options])
        try:
            check_options.main()
        except SystemExit as error:
            assert error.code == 1
        said = capsys.readouterr()
        assert said.err.count("\n") <= 1
        return said.out, said.err

    return run


def test_encoder_and_model_of_a_config(check, tmp_path):
    assert check()[0] == "adaptive_dropout_conformer valid.final_loss.ave.pth\n"
    assert check(config=STOCK)[0] == "conformer valid.loss.ave.pth\n"
    (tmp_path / "bare.yaml").write_text("max_epoch: 1\n")
    assert check(config=str(tmp_path / "bare.yaml"))[0] == "rnn valid.loss.ave.pth\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target_reduction", "54"], "54: must be a share between 0 and 1; did you "),
        (["--target_reduction", "much"], "much: must be a share between 0 and 1\n"),
        (["--sweep", "0.3 1.0"], "--sweep 1.0: must be a share"),
        (["--criterion", "size"], "--criterion size: must be one of retention, mag"),
        (["--sweep", "0.3", "--prune", "false"], "--sweep needs --prune true"),
        (["--export", "true", "--prune", "false"], "gates are not exported"),
        (["--ngpu", "99"], "--ngpu 99: PyTorch finds "),
    ],
)
def test_refused(check, options, message):
    out, err = check(*options)
    assert out == "" and message in err


def test_pruning_options_need_gates(check):
    message = "--criterion has no effect: the encoder of "
    assert message in check("--criterion", "random", config=STOCK)[1]


def test_config_that_is_none(check, tmp_path):
    path = tmp_path / "x.yaml"
    for text in (None, "a: [", "- 1\n", "best_model_criterion: 3\n"):
        if text is not None:
            path.write_text(text)
        assert f"--asr_config {path}: " in check(config=str(path))[1]


def test_criteria_are_those_of_the_package():
    assert list(check_options.CRITERIA) == names_of_criteria()


@pytest.mark.parametrize("criterion", ["", "magnitude"])
def test_more_than_the_locations_can_give(criterion, monkeypatch, capsys):
    config = yaml.safe_load(open(ADAPTIVE))

    class Here:
        """Runs the child's program in this process."""

        def __init__(self, command, **_):
            monkeypatch.setattr("sys.argv", command[2:])
            exec(command[2], {})
            self.stdout = capsys.readouterr().out

    monkeypatch.setattr(check_options.subprocess, "run", Here)
    check_options.check_bound(config, [0.3, 0.5], criterion)
    with pytest.raises(check_options.OptionError, match="--target_reduction=95.0% is "):
        check_options.check_bound(config, [0.3, 0.95], criterion)
