"""Decodes with ``espnet2.bin.asr_inference`` in parallel jobs."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

import espnet_adaptive_dropout
from espnet_adaptive_dropout.experiments.files import write_text
from espnet_adaptive_dropout.experiments.tables import read_table

_POLL_SECONDS = 0.2
# What ESPnet logs at the start of each utterance
_UTTERANCE = "INFO: speech length: "
_PACKAGE_ROOT = str(Path(espnet_adaptive_dropout.__file__).resolve().parents[1])


@dataclasses.dataclass
class TestSet:
    """Speech to decode.

    Args:
        name: name of the set in tables and directories.
        data: "path,name,type" triplet of the speech.
        references: Kaldi table of the reference texts.
    """

    __test__ = False  # no pytest class

    name: str
    data: str
    references: Path

    @property
    def scp(self) -> Path:
        """The file that lists the utterances."""
        return Path(self.data.split(",")[0])


@dataclasses.dataclass
class Decoder:
    """Runs ESPnet's inference command.

    Args:
        inference_config: ESPnet decoding config.
        nj: number of parallel jobs.
        ngpu: 0 or 1.
        task: task of the command, "asr" for ``espnet2.bin.asr_inference``.
    """

    inference_config: Path
    nj: int = 1
    ngpu: int = 0
    task: str = "asr"

    def decode(
        self, train_config: Path, model_file: Path, test_set: TestSet, directory: Path
    ) -> dict[str, str]:
        """Decode a test set; write ``text`` and the jobs' logs into ``directory``.

        Returns:
            Utterance -> hypothesis.

        Raises:
            ValueError: a job failed; the message has the last line of its log.
            OSError: something cannot be read or written.
        """
        logs = directory / "logdir"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir(parents=True)
        names = list(read_table(test_set.scp))
        jobs = max(min(self.nj, len(names)), 1)
        commands = []
        for job in range(1, jobs + 1):
            part = names[len(names) * (job - 1) // jobs : len(names) * job // jobs]
            keys = logs / f"keys.{job}.scp"
            keys.write_text("".join(f"{name}\n" for name in part), encoding="utf-8")
            commands.append(
                self._command(train_config, model_file, test_set, keys)
                + ["--output_dir", str(logs / f"output.{job}")]
            )
        title = f"decoding {test_set.name}"
        _run_jobs(commands, logs, title, len(names))
        texts: dict[str, str] = {}
        for job in range(1, jobs + 1):
            texts.update(read_table(logs / f"output.{job}/1best_recog/text"))
        lines = [f"{name} {text}\n" for name, text in texts.items()]
        write_text(directory / "text", "".join(lines))
        return texts

    def _command(
        self, train_config: Path, model_file: Path, test_set: TestSet, keys: Path
    ) -> list[str]:
        return [
            *(sys.executable, "-m", "espnet_adaptive_dropout"),
            *("-m", f"espnet2.bin.{self.task}_inference"),
            *("--config", str(self.inference_config)),
            *(f"--{self.task}_train_config", str(train_config)),
            *(f"--{self.task}_model_file", str(model_file)),
            *("--data_path_and_name_and_type", test_set.data),
            *("--key_file", str(keys), "--ngpu", str(self.ngpu)),
        ]


def _run_jobs(
    commands: list[list[str]], logs: Path, title: str, utterances: int
) -> None:
    """Run all commands at once; the first failure stops the others."""
    path = os.pathsep.join(filter(None, [_PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path}
    names = [logs / f"asr_inference.{job}.log" for job in range(1, len(commands) + 1)]
    running: list[subprocess.Popen] = []
    readers = []
    try:
        for command, name in zip(commands, names):
            with open(name, "w", encoding="utf-8") as log:
                running.append(
                    subprocess.Popen(
                        command, stdout=log, stderr=subprocess.STDOUT, env=environment
                    )
                )
            readers.append(open(name, encoding="utf-8", errors="replace"))
        with tqdm(total=utterances, desc=title, unit="utt", leave=False) as bar:
            while not _finished(running, names, title):
                time.sleep(_POLL_SECONDS)
                for reader in readers:
                    bar.update(sum(_UTTERANCE in line for line in reader))
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            process.wait()
        for reader in readers:
            reader.close()


def _finished(running: list[subprocess.Popen], logs: list[Path], title: str) -> bool:
    """Return whether all jobs have ended.

    Raises:
        ValueError: a job has failed.
    """
    codes = [process.poll() for process in running]
    for code, log in zip(codes, logs):
        if code not in (None, 0):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            last = next((line for line in reversed(lines) if line.strip()), "")
            raise ValueError(f"{title} failed: {last[:200]}; see {log}")
    return all(code == 0 for code in codes)
