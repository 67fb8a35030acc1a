"""The jobs of decoding, with a stand-in for the decoder."""

import json
import sys

import pytest

from espnet_adaptive_dropout.experiments.tables import read_table
from espnet_adaptive_dropout.pruning.sweep.decoding import Decoder, TestSet

DECODER = """
import json, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
directory = options["--output_dir"] + "/1best_recog"
import os; os.makedirs(directory)
names = open(options["--key_file"]).read().split()
json.dump(options, open(directory + "/options.json", "w"))
with open(directory + "/text", "w") as file:
    for name in names:
        print("INFO: speech length: 3")
        if name == "bad":
            sys.exit("no such thing as " + name)
        file.write(f"{name} heard {name}\\n")
"""


class StandIn(Decoder):
    def _command(self, *args):
        real = super()._command(*args)
        script = self.inference_config.with_name("decoder.py")
        script.write_text(DECODER)
        assert real[:5] == [
            *(sys.executable, "-m", "espnet_adaptive_dropout"),
            *("-m", "espnet2.bin.asr_inference"),
        ]
        return [sys.executable, str(script), *real[5:]]


@pytest.fixture
def decode(tmp_path):
    def run(names, nj=2):
        (tmp_path / "wav.scp").write_text("".join(f"{n} {n}.wav\n" for n in names))
        (tmp_path / "decode.yaml").write_text("beam_size: 2\n")
        data = f"{tmp_path / 'wav.scp'},speech,sound"
        return StandIn(tmp_path / "decode.yaml", nj).decode(
            tmp_path / "config.yaml",
            tmp_path / "model.pth",
            TestSet("test", data, tmp_path / "text"),
            tmp_path / "out",
        )

    return run


@pytest.mark.parametrize("nj, jobs", [(1, 1), (2, 2), (9, 5)])
def test_all_utterances_in_order(decode, tmp_path, nj, jobs):
    names = ["a", "b", "c", "d", "e"]
    assert decode(names, nj) == {name: f"heard {name}" for name in names}
    assert list(read_table(tmp_path / "out/text")) == names
    assert len(list((tmp_path / "out/logdir").glob("output.*"))) == jobs
    found = json.loads(
        (tmp_path / "out/logdir/output.1/1best_recog/options.json").read_text()
    )
    assert found["--asr_train_config"] == str(tmp_path / "config.yaml")
    assert found["--asr_model_file"] == str(tmp_path / "model.pth")
    assert found["--config"] == str(tmp_path / "decode.yaml")


def test_again_with_fewer_jobs(decode, tmp_path):
    decode(["a", "b", "c"], nj=3)
    assert decode(["a", "b"], nj=1) == {"a": "heard a", "b": "heard b"}


def test_failing_job(decode):
    with pytest.raises(ValueError) as error:
        decode(["a", "b", "bad", "d"], nj=4)
    assert "decoding test failed: no such thing as bad" in str(error.value)
    assert "asr_inference.3.log" in str(error.value)
