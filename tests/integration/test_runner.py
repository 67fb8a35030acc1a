import os
import socket
import subprocess
import sys

import pytest
import torch
from espnet2.tasks.asr import ASRTask
from support.forking import Command
from support.tiny_training import (
    CUT,
    EARLY_FREEZE,
    command,
    completed_conf,
    encoder_conf,
    write_data,
)

from espnet_adaptive_dropout.experiments.experiment import (
    build_model,
    load_config,
    load_state,
    load_weights,
)

PLUGIN = (sys.executable, "-m", "espnet_adaptive_dropout")

SPAWNING = """
import multiprocessing
import sys


def child():
    hooks = {type(finder).__module__ for finder in sys.meta_path}
    if "espnet_adaptive_dropout.plugin.after_import" not in hooks:
        sys.exit(f"the child has only the import hooks of {sorted(hooks)}")


def main():
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
    sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
"""


def run(*arguments, cwd=None):
    path = [str(cwd or ""), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }
    return subprocess.run(
        [*PLUGIN, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
    )


def refused(process, *words):
    """One line on stderr, no traceback, non-zero exit."""
    assert process.returncode != 0
    assert len(process.stderr.splitlines()) == 1, process.stderr
    for word in words:
        assert word in process.stderr
    return True


def test_a_module_gets_its_arguments(tmp_path):
    (tmp_path / "text").write_text("utt1 ab ba\n")
    process = run(
        *("-m", "espnet2.bin.tokenize_text", "--token_type", "char"),
        *("--field", "2-", "--input", tmp_path / "text"),
        *("--output", tmp_path / "tokens"),
    )
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "tokens").read_text() == "a b <space> b a\n"


def test_help_of_a_module_is_the_module_s_own():
    process = run("-m", "espnet2.bin.tokenize_text", "--help")
    assert process.returncode == 0
    assert "--token_type" in process.stdout


def test_a_module_that_is_not_a_training_does_not_import_a_task(tmp_path):
    (tmp_path / "light.py").write_text(
        "import sys\n"
        "def main():\n"
        "    print(sys.argv[1:], __file__ == sys.argv[0], __name__)\n"
        "    print([m for m in ('torch', 'espnet2') if m in sys.modules])\n"
    )
    process = run("-m", "light", "--a", "b c", cwd=tmp_path)
    assert process.stdout == "['--a', 'b c'] True light\n[]\n", process.stderr


def test_a_script_gets_its_arguments_and_its_neighbours(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "neighbour.py").write_text("NAME = 'neighbour'\n")
    (tmp_path / "scripts" / "script.py").write_text(
        "import sys\n"
        "from neighbour import NAME\n"
        "if __name__ == '__main__':\n"
        "    print(sys.argv, NAME, 'espnet_adaptive_dropout' in sys.modules)\n"
        "    sys.exit(3)\n"
    )
    process = run("scripts/script.py", "-m", "x y", cwd=tmp_path)
    expected = "['scripts/script.py', '-m', 'x y'] neighbour True\n"
    assert process.stdout == expected, process.stderr
    assert process.returncode == 3


def test_usage():
    for arguments in ((), ("-m",)):
        process = run(*arguments)
        assert process.returncode != 0
        assert process.stderr.startswith("usage: python -m espnet_adaptive_dropout")
    process = run("--help")
    assert process.returncode == 0
    assert process.stdout.startswith("usage: python -m espnet_adaptive_dropout")


def test_unknown_names_are_one_line(tmp_path):
    (tmp_path / "nothing.py").write_text("")
    assert refused(run("-m", "espnet2.bin.asr_trane"), "espnet2.bin.asr_trane")
    assert refused(run("-m", "no_such_package.module"), "no_such_package.module")
    assert refused(run("-m", "nothing", cwd=tmp_path), "nothing has no main()")
    assert refused(run("no/such/script.py"), "no/such/script.py")


def test_errors_inside_a_module_keep_their_traceback(tmp_path):
    (tmp_path / "failing.py").write_text("def main():\n    raise ValueError('why')\n")
    (tmp_path / "lacking.py").write_text("import lack\n")
    process = run("-m", "failing", cwd=tmp_path)
    assert process.returncode == 1
    assert "failing.py" in process.stderr and "ValueError: why" in process.stderr
    # A dependency that is missing is not taken for the module itself.
    process = run("-m", "lacking", cwd=tmp_path)
    assert process.returncode == 1
    assert "lacking.py" in process.stderr and "No module named 'lack'" in process.stderr


def test_spawned_processes_know_the_plugin(tmp_path):
    (tmp_path / "spawning.py").write_text(SPAWNING)
    process = run("-m", "spawning", cwd=tmp_path)
    assert process.returncode == 0, process.stderr


# What the runner does for asr_train, with what each process has written down.
WORKER = """
import json
import sys

import torch

from espnet_adaptive_dropout.plugin import runner
from espnet_adaptive_dropout.control.size_control import SizeControl
from espnet2.train.trainer import Trainer

notes, arguments = sys.argv[1], sys.argv[2:]
averages = []
penalise, train = SizeControl.penalise, Trainer.run.__func__


def noting(self, loss, task_loss):
    result = penalise(self, loss, task_loss)
    averages.append([float(self.step), float(self.loss_average), float(task_loss)])
    return result


def run(cls, model, **options):
    train(cls, model=model, **options)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save(dict(state=state, averages=averages), notes)


SizeControl.penalise, Trainer.run = noting, classmethod(run)
runner.main(["-m", "espnet2.bin.asr_train", *arguments])
"""


def launch(forking_python, directory, arguments, world):
    """Train in as many processes, each told of the others by its environment."""
    (directory / "worker.py").write_text(WORKER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(world))
    workers = [
        Command(
            [directory / "worker.py", directory / f"{rank}.pt", *arguments],
            cwd=directory,
            log=directory / f"{rank}.log",
            env=dict(common, RANK=str(rank)),
        )
        for rank in range(world)
    ]
    statuses = forking_python(*workers)
    logs = "".join(worker.log.read_text() for worker in workers)
    assert statuses == [0] * world, logs[-3000:]
    return [torch.load(directory / f"{rank}.pt") for rank in range(world)]


def test_distributed_training_of_two_processes(tmp_path, forking_python):
    data = write_data(tmp_path / "data")
    gates = dict(EARLY_FREEZE, distillation=0.5)
    arguments = [
        *command(
            data,
            tmp_path / "exp",
            batch_type="folded",
            batch_size=3,
            fold_length=[2000, 9],
            accum_grad=2,
            max_epoch=5,
            encoder_conf=encoder_conf(**gates),
        ),
        *("--multiprocessing_distributed", "false", "--dist_backend", "gloo"),
    ]
    first, second = launch(forking_python, tmp_path, arguments, world=2)
    assert CUT in (tmp_path / "0.log").read_text()
    assert first["state"].keys() == second["state"].keys()
    for name, value in first["state"].items():
        assert torch.equal(value, second["state"][name]), name
    # In every step, not only after ESPnet has copied the buffers of the first.
    assert first["averages"] == second["averages"]
    config = load_config(tmp_path / "exp" / "config.yaml")
    saved = load_state(tmp_path / "exp" / "checkpoint.pth")
    model = build_model(ASRTask, config)
    load_weights(model, saved, "the checkpoint")
    control = model.encoder.control
    assert control.optimizer.updates > 0
    assert control.step == control.config.total_steps == len(first["averages"])
    # In so small a model a unit is almost one per cent.
    unit = control.cost.per_unit.min().item() / control.cost.total
    assert control.actual_reduction() == pytest.approx(0.2, abs=unit)
    # Alone, ESPnet would have made more and smaller batches of the data.
    alone = completed_conf(arguments)["total_steps"]
    assert alone > control.config.total_steps
