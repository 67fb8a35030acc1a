"""The option parser of the shell scripts."""

from __future__ import annotations

import subprocess

import pytest
from support.paths import RECIPE

PARSER = RECIPE / "local" / "parse_options.sh"
SCRIPT = """#!/usr/bin/env bash
set -euo pipefail
help_message="how to use it"
stage=1
text=
switch=false
{extra}
. {parser}
echo "stage=$stage text=$text switch=$switch rest=$*"
"""


@pytest.fixture
def call(tmp_path):
    def run(*words, extra=""):
        script = tmp_path / "tool.sh"
        script.write_text(SCRIPT.format(parser=PARSER, extra=extra))
        command = ["bash", str(script), *words]
        return subprocess.run(command, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "stage=1 text= switch=false rest="),
        (["--stage", "3", "--switch", "true"], "stage=3 text= switch=true rest="),
        (["--text", "--max_epoch 10 a=b"], "text=--max_epoch 10 a=b switch"),
        (["--text=a=b", "--stage=-1"], "stage=-1 text=a=b"),
        (["--text", ""], "text= switch"),
        (
            ["--stage", "2", "file", "--stage", "9"],
            "stage=2 text= switch=false rest=fil",
        ),
    ],
)
def test_accepted(call, words, said):
    done = call(*words)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@pytest.mark.parametrize(
    "words, said",
    [
        (["--stag", "3"], "unknown option --stag"),
        (["--PATH", "/"], "unknown option --PATH"),
        (["--help-message", "x"], "unknown option --help-message"),
        (["--stage", "three"], "whole number, not 'three'"),
        (["--switch", "yes"], "true or false, not 'yes'"),
        (["--stage"], "--stage needs a value"),
    ],
)
def test_refused_in_one_line(call, words, said):
    done = call(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help(call):
    done = call("--help")
    assert (done.returncode, done.stdout) == (0, "how to use it\n")


def test_only_listed_variables_are_options(call):
    extra = 'own=1; parse_options_only="stage text"'
    assert call("--text", "x", extra=extra).returncode == 0
    assert "unknown option --own" in call("--own", "2", extra=extra).stderr
