import pytest

from benchmarks.speed import decoder


def test_a_table_for_every_size(capsys):
    options = "--size tiny --beam 1 3 --seconds 2 --rounds 2 --minutes 0.1"
    decoder.main(options.split())
    rows = [line for line in capsys.readouterr().out.splitlines() if "| 2 s |" in line]
    assert [row.split(" | ")[1] for row in rows] == ["1", "3"]
    assert all(row.endswith("| yes |") and "%" in row for row in rows)


@pytest.mark.parametrize("option", ["--beam 0", "--seconds 0.5", "--minutes 0"])
def test_numbers_out_of_range(option):
    with pytest.raises(SystemExit, match="must be"):
        decoder.main(option.split())
