"""A user's own recordings through ESPnet's data stages, with speed perturbation.

Needs ESPnet's asr.sh, as test_recipe_smoke.py does.
"""

from __future__ import annotations

import os
import subprocess

import pytest
import soundfile
from support import tiny_corpus

from espnet_adaptive_dropout.experiments.tables import read_table


def test_stages_1_to_5(recipe, recipe_env, tmp_path):
    tree = tiny_corpus.write_tree(tmp_path / "tree", "train-clean-100", "dev-clean")
    tiny_corpus.write_subset(tree, "test-other")
    (transcript,) = tree.glob("train-clean-100/19/198/*.trans.txt")
    text = transcript.read_text().replace("SAYS", "SAYS\u2028WHAT?")
    transcript.write_text(text, encoding="utf-8")
    # ESPnet's real scripts instead of the stand-in
    recipe_env["ESPNET_ROOT"] = os.environ.get("ESPNET_ROOT", "")
    options = ["--corpus", "smoke", "--corpus_dir", tree, "--token_type", "char"]
    options += ["--speed_perturb_factors", "0.9 1.0", "--ngpu", "0", "--nj", "1"]
    done = subprocess.run(
        ["./run.sh", *options, "--stop_stage", "5"],
        cwd=recipe,
        env=recipe_env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    texts = read_table(recipe / "dump/raw/train_sp/text")
    assert texts["sp0.9-19-198-0001"] == texts["19-198-0001"]
    assert texts["19-198-0001"] == "READER TRAIN-CLEAN-100 SAYS WHAT? 1"
    assert len(texts) == 8
    audio = read_table(recipe / "dump/raw/train_sp/wav.scp")
    seconds = [
        soundfile.info(recipe / audio[name]).duration
        for name in ("sp0.9-19-198-0001", "19-198-0001")
    ]
    assert seconds == pytest.approx([0.2 / 0.9, 0.2], abs=1e-3)
    assert len(read_table(recipe / "dump/raw/dev/text")) == 4
    # the subsets that the tree has, not those of --corpus
    assert list(read_table(recipe / "dump/raw/test_other/wav.scp"))[0][:3] == "367"
    tokens = (recipe / "data/en_token_list/char/tokens.txt").read_text().splitlines()
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert {"R", "<space>", "?"} < set(tokens)
