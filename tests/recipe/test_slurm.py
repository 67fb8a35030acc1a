"""Two nodes of Slurm, started by ESPnet's launcher; here the nodes are processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import yaml
from support.paths import ROOT
from support.tiny_training import command, write_data

from espnet_adaptive_dropout.experiments.experiment import load_state

# slurm.pl [options] LOG COMMAND...: every option that the launcher gives has a value.
SLURM = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift 2; done
log=$1
shift
exec "$@" > "${log}" 2>&1
"""
# srun --export=ALL COMMAND...: what Slurm tells the tasks of a step, one on each node
SRUN = """#!/usr/bin/env bash
shift
export SLURM_NTASKS=2 SLURM_STEP_NUM_NODES=2 SLURM_STEP_NODELIST='node[1-2]'
tasks=()
for node in 0 1; do
    SLURM_PROCID=${node} SLURM_NODEID=${node} SLURM_LOCALID=0 "$@" &
    tasks+=("$!")
done
for task in "${tasks[@]}"; do wait "${task}" || exit 1; done
"""


@pytest.fixture
def cluster(tmp_path):
    """Environment of a machine that submits to Slurm."""
    for name, text in (("slurm.pl", SLURM), ("srun", SRUN)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


# A training that leaves each process's own weights behind
TRAIN = """
import os
import torch
from espnet2.bin import asr_train

models = []
parallel = torch.nn.parallel.DistributedDataParallel

class Kept(parallel):
    def __init__(self, module, *args, **kwargs):
        models.append(module)
        super().__init__(module, *args, **kwargs)

torch.nn.parallel.DistributedDataParallel = Kept
asr_train.main()
(model,) = models
torch.save(model.state_dict(), "node" + os.environ["SLURM_PROCID"])
"""


@pytest.mark.slow
def test_two_nodes(cluster, tmp_path):
    data, output = write_data(tmp_path / "data"), tmp_path / "exp"
    output.mkdir()
    (tmp_path / "train.py").write_text(TRAIN)
    # Nine utterances in threes: three batches, each shared by the nodes.
    training = [sys.executable, "-m", "espnet_adaptive_dropout", "train.py"]
    training += command(data, output, batch_size=3)
    done = subprocess.run(
        [sys.executable, "-m", "espnet2.bin.launch", "--cmd", "slurm.pl --mem 1G"]
        + ["--log", str(output / "train.log"), "--ngpu", "0", "--num_nodes", "2"]
        + ["--init_file_prefix", f"{output}/.dist_init_", "--", *training],
        cwd=tmp_path,
        env=cluster,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert config["encoder_conf"]["adaptive_dropout_conf"]["total_steps"] == 2 * 3
    first, second = (torch.load(tmp_path / f"node{node}") for node in (0, 1))
    for name, value in first.items():
        # What is averaged over a node's own utterances alone stays there: batch norm.
        if "running_" not in name:
            assert torch.equal(value, second[name]), name
    assert first["encoder.control.step"] == 6
    assert first["encoder.control.frozen"] == 1
    saved = load_state(output / "checkpoint.pth")
    assert all(torch.equal(saved[name], first[name]) for name in first)
