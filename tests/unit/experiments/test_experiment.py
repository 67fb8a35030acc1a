import datetime
from types import SimpleNamespace

import numpy
import pytest
import torch

from espnet_adaptive_dropout.experiments.checkpoint import is_gate_weight, without_gates
from espnet_adaptive_dropout.experiments.experiment import build_model, load_state
from espnet_adaptive_dropout.plugin.init_param import without_old_gates

STATE = {
    "encoder.encoders.0.feed_forward.w_1.weight": torch.arange(6.0).view(2, 3),
    "encoder.encoders.0.feed_forward.dropout.logits": torch.ones(2),
    "encoder.control.step": torch.tensor(3.0),
}
GATES = ",".join(list(STATE)[1:])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", [None, "model", "module"])
def test_files_of_all_kinds(tmp_path, zipped, wrapper):
    path = tmp_path / "model.pth"
    content = STATE if wrapper is None else {wrapper: STATE, "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    state = load_state(path)
    assert list(state) == list(STATE)
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)
    arguments = ["--seed", "1", "--init_param", f"{path}:::ctc", "--ngpu", "0"]
    own = tmp_path / "exp" / "init_param1.pth"
    taken = own if wrapper == "model" else path
    assert without_old_gates([f"{path}:::ctc"], arguments, str(own.parent)) == [
        *("--seed", "1", "--ngpu", "0"),
        *("--init_param", f"{taken}:::ctc,{GATES}"),
    ]
    assert own.exists() == (wrapper == "model")
    assert wrapper != "model" or torch.load(own).keys() == STATE.keys()


def test_a_trainers_checkpoint_of_202511(tmp_path):
    stats = [numpy.float64(0.5), numpy.float32(2), numpy.int64(3), numpy.bool_(True)]
    stats.append(datetime.timedelta(seconds=3))
    torch.save({"reporter": stats, "model": STATE}, tmp_path / "checkpoint.pth")
    assert list(load_state(tmp_path / "checkpoint.pth")) == list(STATE)


@pytest.mark.parametrize("content", [{}, {"model": {}}, {"a": 1}, [torch.ones(1)]])
def test_files_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="model.pth: holds no model weights"):
        load_state(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text"])
def test_files_that_are_no_checkpoints(tmp_path, content):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(ValueError, match="or cut short") as error:
        load_state(tmp_path / "model.pth")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="^--init_param .*or cut short"):
        without_old_gates([str(tmp_path / "model.pth")], [])


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="cannot read the model"):
        load_state(tmp_path / "none.pth")


def test_a_package_that_espnet_lacks_is_named():
    def build(args):
        raise ModuleNotFoundError("No module named 'warprnnt_pytorch'")

    with pytest.raises(ValueError, match="not installed .*'warprnnt_pytorch'"):
        build_model(SimpleNamespace(build_model=build), {})


def test_weights_of_gates_and_control():
    for key in GATES.split(","):
        assert is_gate_weight(key)
        assert is_gate_weight(key[len("encoder.") :])
    for key in ("encoder.controller.weight", "logits.weight", "ctc.ctc_lo.bias"):
        assert not is_gate_weight(key)
    assert list(without_gates(STATE)) == list(STATE)[:1]
