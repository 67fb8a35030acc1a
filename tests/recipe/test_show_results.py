"""RESULTS.md."""

from __future__ import annotations

import subprocess
import sys

from score_trn import score, table
from support.paths import RECIPE

SCRIPT = RECIPE / "local" / "tools" / "show_results.py"
SCLITE = "|    Sum/Avg   |   19     113 | 18.6  37.2  44.2   3.5   85.0  100.0 |\n"


def test_tables(tmp_path):
    exp = tmp_path / "exp" / "asr_x"
    for dset in ("test_clean", "org/dev"):
        for kind in ("wer", "cer"):
            scored = exp / "decode_y" / dset / f"score_{kind}"
            scored.mkdir(parents=True)
            (scored / "result.txt").write_text(SCLITE)
    (exp / "decode_y/test_clean/score_wer/result.txt").write_text(
        table(score({"s-1": "a b"}, {"s-1": "a c"}))
    )
    logs = exp / "decode_y" / "test_clean" / "logdir"
    logs.mkdir()
    (logs / "calculate_rtf.log").write_text("RTF: 0.125\n")
    command = [sys.executable, str(SCRIPT), "exp/asr_x", "--out", "R.md"]
    subprocess.run(command, cwd=tmp_path, check=True)
    text = (tmp_path / "R.md").read_text()
    assert text.startswith("# RESULTS\n## Environments\n- date: `")
    assert (
        "### WER\n\n|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|\n"
        "|---|---|---|---|---|---|---|---|---|\n"
        "|decode_y/org/dev|19|113|18.6|37.2|44.2|3.5|85.0|100.0|\n"
        "|decode_y/test_clean|1|2|50.0|50.0|0.0|0.0|50.0|100.0|\n"
    ) in text
    assert "### TER" not in text
    assert "|decode_y/test_clean|0.125|" in text


def test_nothing_scored(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path), "--out", "R.md"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing has been scored" in done.stderr
    assert not (tmp_path / "R.md").exists()
