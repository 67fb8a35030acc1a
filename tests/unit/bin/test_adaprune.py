"""The console command: which command it runs, and what its help shows."""

import pytest

from espnet_adaptive_dropout import __version__
from espnet_adaptive_dropout.bin import adaprune, enable


def refused(capsys, *cmd):
    with pytest.raises(SystemExit) as stop:
        adaprune.main(cmd)
    return stop.value.code, "".join(capsys.readouterr())


def test_a_command_gets_the_options_that_follow_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [])
    adaprune.main(["enable", "--site_packages", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == [enable.NAME]
    code, text = refused(capsys, "enable", "--wrong")
    assert code == 2
    assert "adaprune enable: error: unrecognized arguments: --wrong" in text


@pytest.mark.parametrize("name", adaprune.COMMANDS)
def test_the_help_of_every_command_shows_an_example(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [])
    code, text = refused(capsys, name, "--help")
    assert code == 0
    assert text.startswith(f"usage: adaprune {name} ")
    assert f"example:\n  adaprune {name}" in text


def test_help_and_version(capsys):
    code, text = refused(capsys, "--help")
    assert code == 0
    assert all(f"  {name} " in text for name in adaprune.COMMANDS)
    assert refused(capsys, "--version") == (
        0,
        f"espnet-adaptive-dropout {__version__}\n",
    )


def test_an_unknown_command_is_refused_with_the_list(capsys):
    code, text = refused(capsys, "cut")
    assert code == 2
    assert "invalid choice: 'cut' (choose from" in text


def test_defaults_are_shown_once_and_only_where_there_are_any(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [])
    _, text = refused(capsys, "prune", "--help")
    words = " ".join(text.split())
    assert "utterances for the certificate (default: 4)" in words
    assert "None" not in words and "(default: False)" not in words
