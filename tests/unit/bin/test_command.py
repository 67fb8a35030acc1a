"""What all commands share."""

from __future__ import annotations

import importlib.metadata
import logging

import pytest

from espnet_adaptive_dropout.bin import export, prune, sweep
from espnet_adaptive_dropout.bin.command import _quieten, execute, other_version, run

MODEL = ("--train_config", "no/config.yaml", "--model_file", "no/valid.pth")


def test_commands_say_their_own_lines_only(monkeypatch, capsys):
    level = logging.root.level
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a new process
    try:
        _quieten("prune")
        logging.warning("Generating grammar tables from ESPnet")
        logging.getLogger("espnet_adaptive_dropout.pruning").warning("mind this")
    finally:
        logging.captureWarnings(False)
        logging.root.setLevel(level)
    assert capsys.readouterr().err == "prune: mind this\n"


@pytest.mark.parametrize(
    "error, code, line",
    [
        (ValueError("wrong"), "x: wrong", ""),
        (OSError(28, "No space left", "a.pth"), "x: a.pth: No space left", ""),
        (KeyboardInterrupt(), 130, "x: interrupted\n"),
    ],
)
def test_one_line_for_a_mistake_or_an_interruption(capsys, error, code, line):
    def main():
        raise error

    with pytest.raises(SystemExit) as stop:
        run("x", main)
    assert stop.value.code == code
    assert capsys.readouterr().err == line


def test_an_interruption_while_the_command_starts(capsys):
    def get_parser():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        execute("x", get_parser, print, [])
    assert stop.value.code == 130


def test_another_version_than_the_installed_one_is_named(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.9")
    assert "runs, not the installed version 0.0.9" in other_version()

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert other_version() is None


@pytest.mark.parametrize("command", [prune, sweep, export])
@pytest.mark.parametrize(
    "options, message",
    [
        (("--utterances", "0"), "--utterances 0: must be 1 or more"),
        (("--data", "dev/wav.scp"), "--data 'dev/wav.scp' is not PATH,NAME,TYPE"),
        (("--data", "dev/wav.scp,,sound"), "is not PATH,NAME,TYPE"),
        (("--cost_frames", "0"), "--cost_frames 0: must be 1 or more"),
        (("--multiple_of", "0"), "--multiple_of 0: must be 1 or more"),
        (("--target_reduction", "54"), "--target_reduction 54.0: must be between"),
        (("--output_dir", "."), "--output_dir '.' is the current directory"),
        (("--output_dir", ""), "--output_dir '.' is the current directory"),
    ],
)
def test_options_are_checked_before_anything_is_read(
    tmp_path, monkeypatch, command, options, message
):
    monkeypatch.chdir(tmp_path)
    given = dict(zip(options[::2], options[1::2]))
    if command is export and not given.keys() & {"--utterances", "--data"}:
        return  # export has no such option, or checks it when it begins to write
    defaults = {"--output_dir": "out"}
    if command is sweep:
        defaults["--target_reduction"] = "0.3"
    words = [word for item in {**defaults, **given}.items() for word in item]
    with pytest.raises(SystemExit) as stop:
        command.main([*MODEL, *words])
    assert message in str(stop.value) and "\n" not in str(stop.value)
    assert list(tmp_path.iterdir()) == []
