"""The stand-in for sclite."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
from compare import error_rate
from support.paths import RECIPE

SCRIPT = RECIPE / "local/bin/sclite"
COMMAND = ["-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "rm"]
COMMAND += ["-o", "all", "stdout"]


@pytest.fixture(scope="module")
def sclite():
    """The script as a module."""
    loader = SourceFileLoader("sclite", str(SCRIPT))
    module = module_from_spec(spec_from_loader("sclite", loader))
    sys.modules["sclite"] = module  # dataclasses look it up
    write, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
        yield module
    finally:
        sys.dont_write_bytecode = write
        del sys.modules["sclite"]


@pytest.mark.parametrize(
    "reference, hypothesis, words, correct, substituted, deleted, inserted",
    [
        ("a b c", "a b c", 3, 3, 0, 0, 0),
        ("a b c", "a x c", 3, 2, 1, 0, 0),
        ("a b c", "a c", 3, 2, 0, 1, 0),
        ("a b c", "a b b c", 3, 3, 0, 0, 1),
        ("a b c", "", 3, 0, 0, 3, 0),
        ("", "a b", 0, 0, 0, 0, 2),
        ("", "", 0, 0, 0, 0, 0),
    ],
)
def test_counts(
    sclite, reference, hypothesis, words, correct, substituted, deleted, inserted
):
    counts = sclite.compare(reference, hypothesis)
    assert (counts.sentences, counts.words, counts.correct) == (1, words, correct)
    errors = (counts.substituted, counts.deleted, counts.inserted)
    assert errors == (substituted, deleted, inserted)
    assert counts.wrong_sentences == int(sum(errors) > 0)


def test_table_has_the_figures_of_sclite(sclite, tmp_path):
    # 19 words, 2 substitutions, 1 deletion, 2 insertions: 26.3 %
    references = {
        "61-a-1": "the cat sat on the mat today",
        "61-a-2": "he went home early",
        "62-b-1": "we saw two old ships near the shore",
    }
    hypotheses = {
        "61-a-1": "the cat sat in the mat",
        "61-a-2": "he went went home early so",
        "62-b-1": "we saw two old chips near the shore",
    }
    lines = sclite.table(sclite.score(references, hypotheses)).splitlines()
    rows = {line.split("|")[1].split()[0]: line for line in lines if "| " in line}
    assert list(rows) == ["SPKR", "61", "62", "Sum/Avg"]
    cells = rows["Sum/Avg"].replace("|", " ").split()[1:]
    assert cells == ["3", "19", "84.2", "10.5", "5.3", "10.5", "26.3", "100.0"]
    (tmp_path / "result.txt").write_text("\n".join(lines))
    assert error_rate(tmp_path / "result.txt") == 26.3


@pytest.mark.parametrize(
    "text, message",
    [("a b\n", r":1: no \(speaker"), ("a (s-1)\nb (s-1)\n", ":2: s-1 is there twice")],
)
def test_damaged_files_are_refused(sclite, tmp_path, text, message):
    path = tmp_path / "x.trn"
    path.write_text(text)
    with pytest.raises(sclite.ScoreError, match=message):
        sclite.read_trn(path)


@pytest.fixture
def run(tmp_path):
    """Function that runs the script where little else is on PATH."""
    path = tmp_path / "bin"
    path.mkdir()
    # not a link, which would not find its packages
    (path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (path / "python3").chmod(0o755)
    (tmp_path / "ref.trn").write_text("ONE  TWO\t(s1-u1)\nONE\t(s1-u2)\n")
    (tmp_path / "hyp.trn").write_text("one\t(s1-u1)\nONE\t(s1-u2)\n")

    def call(*options, sctk=False):
        if sctk:
            (path / "sctk").write_text('#!/bin/sh\necho "$@"\n')
            (path / "sctk").chmod(0o755)
        env = {"PATH": str(path)}
        return subprocess.run(
            [SCRIPT, *options], cwd=tmp_path, env=env, capture_output=True, text=True
        )

    return call


def test_scores_as_asr_sh_asks_for(run):
    done = run("-e", "utf-8", *COMMAND)
    assert done.returncode == 0, done.stderr
    (total,) = [line for line in done.stdout.splitlines() if "Sum/Avg" in line]
    figures = ["2", "3", "66.7", "0.0", "33.3", "0.0", "33.3", "50.0"]
    assert total.replace("|", " ").split()[1:] == figures
    assert "does not know -e utf-8" in done.stderr


def test_debian_s_is_preferred(run):
    assert run(*COMMAND, sctk=True).stdout.split() == ["sclite", *COMMAND]


def test_errors(run, tmp_path):
    done = run("-r", "ref.trn")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    (tmp_path / "hyp.trn").write_text("one\t(s1-u1)\n")
    done = run(*COMMAND)
    assert done.returncode == 1
    assert "s1-u2 is not in both" in done.stderr
