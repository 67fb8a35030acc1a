"""How many processes share a batch; the batches are in test_training_length.py."""

import argparse

import pytest
from espnet2.train.distributed_utils import resolve_distributed_mode
from support.tiny_training import command, complete, completed_conf, parse

from espnet_adaptive_dropout.plugin.epoch_length import process_count, steps_per_epoch

SLURM = dict(
    SLURM_PROCID="0",
    SLURM_NODEID="0",
    SLURM_LOCALID="0",
    SLURM_STEP_NODELIST="node[1-4]",
)


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)


def options(**changes):
    values = dict(
        ngpu=0,
        dist_world_size=None,
        dist_rank=0,
        local_rank=0,
        dist_launcher=None,
        multiprocessing_distributed=True,
    )
    return argparse.Namespace(**{**values, **changes})


@pytest.mark.parametrize(
    "changes, environment, processes",
    [
        ({}, {}, 1),
        (dict(ngpu=1), {}, 1),
        (dict(ngpu=4), {}, 4),
        # Nodes, each with a process for every GPU.
        (dict(ngpu=4, dist_world_size=2), {}, 8),
        (dict(ngpu=4), dict(WORLD_SIZE="2"), 8),
        (dict(ngpu=1), dict(WORLD_SIZE="3"), 3),
        (
            dict(ngpu=4, dist_launcher="slurm"),
            dict(SLURM, SLURM_NTASKS="4", SLURM_STEP_NUM_NODES="4"),
            16,
        ),
        # Processes that torchrun or srun started.
        (dict(multiprocessing_distributed=False), dict(WORLD_SIZE="6"), 6),
        (
            dict(multiprocessing_distributed=False, ngpu=1, dist_launcher="slurm"),
            dict(SLURM, SLURM_NTASKS="8", SLURM_STEP_NUM_NODES="4"),
            8,
        ),
        (dict(multiprocessing_distributed=False, dist_world_size=2), {}, 2),
    ],
)
def test_processes(changes, environment, processes, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    args = options(**changes)
    assert process_count(args) == processes
    resolve_distributed_mode(args)
    assert args.distributed == (processes > 1)


def test_batches_have_an_utterance_for_each_process(data, tmp_path, monkeypatch):
    arguments = command(
        *(data, tmp_path / "exp"),
        **dict(batch_type="folded", batch_size=9, fold_length=[1000, 9]),
    )
    alone = steps_per_epoch(parse(arguments))
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert steps_per_epoch(parse(arguments)) == 3 < alone
    assert completed_conf(arguments)["total_steps"] == 2 * 3


def test_a_launcher_that_is_not_there(data, tmp_path):
    arguments = [*command(data, tmp_path / "exp"), "--dist_launcher", "slurm"]
    with pytest.raises(ValueError, match="^--dist_launcher slurm: .*srun.*$"):
        complete(arguments)
