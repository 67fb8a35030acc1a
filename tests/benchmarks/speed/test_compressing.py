import argparse

import pytest
import soundfile

from benchmarks.speed import compressing


def test_tables_have_the_ratio_and_the_parts():
    lines = [(2.0, "model: m"), (3.5, "cut"), (0.0, ""), (1.0, "# Report"), (0.0, "x")]
    args = argparse.Namespace(size="tiny", seconds=2.0, criterion="taylor", threads=2)
    text = compressing.tables(
        compressing.Run(7.4, 900_000_000, lines), 300_000_000, 9, args
    )
    assert "tests, 9 utterances of 2 s, taylor, 2 thread(s)" in text
    assert "| 300 MB | 7 s | 900 MB | 3.00 |" in text
    assert text[-2:] == ["| 2.0 s | model: m |", "| 3.5 s | cut |"]


def test_data(tmp_path):
    compressing.make_data(tmp_path / "data", 3, 1.5, "tiny")
    texts = (tmp_path / "data" / "text").read_text().splitlines()
    assert [len(line.split()) - 1 for line in texts] == [4, 4, 4]
    assert soundfile.info(tmp_path / "data" / "utt0002.wav").duration == 1.5


@pytest.mark.parametrize("option", ["--minutes 0", "--seconds 0.5", "--threads 0"])
def test_numbers_out_of_range(option):
    with pytest.raises(SystemExit, match="must be above 0"):
        compressing.main(option.split())
