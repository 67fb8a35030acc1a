"""Scoring without sclite."""

from __future__ import annotations

import subprocess
import sys

import pytest
from common import RecipeError
from results import summary_cells
from score_trn import compare, read_trn, score, table
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "tools" / "score_trn.py"


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
def test_counts(reference, hypothesis, words, correct, substituted, deleted, inserted):
    counts = compare(reference, hypothesis)
    assert (counts.sentences, counts.words, counts.correct) == (1, words, correct)
    errors = (counts.substituted, counts.deleted, counts.inserted)
    assert errors == (substituted, deleted, inserted)
    assert counts.wrong_sentences == int(sum(errors) > 0)


def test_table_has_the_figures_of_sclite(tmp_path):
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
    result = tmp_path / "result.txt"
    result.write_text(table(score(references, hypotheses)))
    cells = summary_cells(result)
    assert cells == ["3", "19", "84.2", "10.5", "5.3", "10.5", "26.3", "100.0"]
    lines = [
        line.split("|")[1].split()[0]
        for line in result.read_text().splitlines()
        if line.startswith("| ")
    ]
    assert lines == ["SPKR", "61", "62", "Sum/Avg", "Mean", "S.D.", "Median"]


def test_command_line_ignores_case_and_writes_whole_files(tmp_path):
    (tmp_path / "ref").write_text("ONE  TWO\t(s1-s1-1)\nTHREE (x)\t(s2-s2-1)\n")
    (tmp_path / "hyp").write_text("one two\t(s1-s1-1)\nfour (x)\t(s2-s2-1)\n")
    command = [sys.executable, str(SCRIPT), "--ref", "ref", "--hyp", "hyp"]
    command += ["--out", "result.txt"]
    subprocess.run(command, cwd=tmp_path, check=True)
    cells = summary_cells(tmp_path / "result.txt")
    assert cells == ["2", "4", "75.0", "25.0", "0.0", "0.0", "25.0", "50.0"]
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(
    "text, message",
    [("a b\n", r":1: no \(speaker"), ("a (s-1)\nb (s-1)\n", ":2: s-1 is there twice")],
)
def test_damaged_files_are_refused(tmp_path, text, message):
    path = tmp_path / "x.trn"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_trn(path)


def test_different_sentences_are_refused():
    with pytest.raises(RecipeError, match="s-2 is not in both"):
        score({"s-1": "a", "s-2": "b"}, {"s-1": "a"})
