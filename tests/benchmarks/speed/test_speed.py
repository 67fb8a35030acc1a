"""The command that measures."""

from __future__ import annotations

import pytest

from benchmarks.speed import __main__ as speed
from benchmarks.speed.build import asr_config


def options(*given):
    return speed.get_parser().parse_args(list(given))


def test_ratios_are_printed_and_kept(tmp_path, capsys):
    command = ["--exp", str(tmp_path), "--size", "tiny", "--rows", "gated,all_54"]
    command += ["--seconds", "2", "--rounds", "2"]
    speed.main(command)
    first = capsys.readouterr().out
    assert "| 54 % removed, all locations, even by location (`all_54`) |" in first
    assert "decode" not in first
    speed.main(command)
    assert capsys.readouterr().out == first


def test_espnet_does_not_read_the_command_line(monkeypatch):
    monkeypatch.setattr("sys.argv", ["speed", "--batch", "8", "--ctc_conf", "{}"])
    assert asr_config("tiny")["batch_type"] == "folded"


def test_all_parts_by_default_only_encoding_with_a_setting(tmp_path):
    work = speed.make_work(options("--exp", str(tmp_path)))
    assert len(work.settings) > 4
    given = options("--exp", str(tmp_path), "--batch", "8")
    [setting] = speed.make_work(given).settings
    assert (setting.batch, setting.seconds, setting.threads) == (8, 10.0, 1)


@pytest.mark.parametrize(
    "given, message",
    [
        (["--rows", "nothing"], "speed: --rows nothing: no such row"),
        (["--minutes", "0"], "--rounds and --minutes must be above 0"),
        (["--threads", "x"], "--threads x: must be a number"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, given, message):
    with pytest.raises(SystemExit, match=message):
        speed.main(["--exp", str(tmp_path), *given])
