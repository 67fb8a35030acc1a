"""The stand-in for sclite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import RECIPE

COMMAND = ["-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "rm"]
COMMAND += ["-o", "all", "stdout"]


@pytest.fixture
def sclite(tmp_path):
    """Function that runs it where nothing else is on PATH than named."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("bash", "dirname", "readlink"):
        (path / name).symlink_to(shutil.which(name))
    # not a link, which would not find its packages
    (path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (path / "python3").chmod(0o755)
    (tmp_path / "ref.trn").write_text("ONE TWO\t(s1-u1)\nONE\t(s1-u2)\n")
    (tmp_path / "hyp.trn").write_text("one\t(s1-u1)\nONE\t(s1-u2)\n")

    def run(*options, sctk=False):
        if sctk:
            (path / "sctk").write_text('#!/bin/sh\necho "$@"\n')
            (path / "sctk").chmod(0o755)
        return subprocess.run(
            [str(RECIPE / "local/bin/sclite"), *options],
            cwd=tmp_path,
            env={"PATH": str(path)},
            capture_output=True,
            text=True,
        )

    return run


def test_scores_as_asr_sh_asks_for(sclite):
    done = sclite("-e", "utf-8", *COMMAND)
    assert done.returncode == 0, done.stderr
    (total,) = [line for line in done.stdout.splitlines() if "Sum/Avg" in line]
    figures = ["2", "3", "66.7", "0.0", "33.3", "0.0", "33.3", "50.0"]
    assert total.replace("|", " ").split()[1:] == figures
    assert "does not know -e utf-8" in done.stderr


def test_debian_s_is_preferred(sclite):
    assert sclite(*COMMAND, sctk=True).stdout.split() == ["sclite", *COMMAND]


def test_errors(sclite, tmp_path):
    done = sclite("-r", "ref.trn")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    Path(tmp_path / "hyp.trn").write_text("one\t(s1-u1)\n")
    done = sclite(*COMMAND)
    assert done.returncode == 1
    assert "s1-u2 is not in both" in done.stderr
