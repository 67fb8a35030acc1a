import pytest
import yaml
from support.tiny_training import write_untrained

from benchmarks.speed import search_settings


@pytest.fixture(scope="module")
def model(data):
    """Options with an untrained hybrid model."""
    config_file, model_file = write_untrained(data)
    return ["--train_config", str(config_file), "--model_file", str(model_file)]


def test_a_row_for_every_setting(model, data, capsys):
    options = ["--beam", "1", "3", "--ctc_weight", "0", "0.3"]
    search_settings.main([*model, "--data", str(data), *options])
    lines = capsys.readouterr().out.splitlines()
    assert "9 utterances, 9 words, 4 s" in lines
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    settings = [["1", "0"], ["3", "0"], ["1", "0.3"], ["3", "0.3"]]
    assert [row[:2] for row in rows[1:]] == [*settings, ["greedy", "CTC alone"]]
    for row in rows[1:]:
        assert float(row[2]) > 0 and float(row[3]) > 0 and float(row[4]) > 0
    assert rows[-1][4] == "1.0"


def test_what_cannot_be_measured_is_one_line(model, data, tmp_path):
    with pytest.raises(SystemExit, match="--beam"):
        search_settings.main([*model, "--data", str(data), "--beam", "0"])
    config = yaml.safe_load(open(model[1], encoding="utf-8"))
    other = tmp_path / "config.yaml"
    other.write_text(yaml.safe_dump({**config, "decoder": "rnn"}))
    with pytest.raises(SystemExit, match="decoder must be transformer"):
        search_settings.main(
            ["--train_config", str(other), *model[2:], "--data", str(data)]
        )
