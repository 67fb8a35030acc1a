"""local/asr.sh has the interface of ESPnet's asr.sh, apart from what is listed here.

asr_sh_interface.json is what describe_asr_sh.py saw in a checkout.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from support.describe_asr_sh import (
    _NOTE,
    CASES,
    SETS,
    VARIABLES,
    command_line,
    describe,
    parse_notes,
    plain_names,
)
from support.paths import RECIPE

RECORDED = json.loads(
    (Path(__file__).parent / "asr_sh_interface.json").read_text(encoding="utf-8")
)

# Options that local/asr.sh does not take: for tasks, decoders and formats that the
# recipe has no use for. ESPnet's asr.sh takes them when it runs the stages.
NOT_TAKEN = set(
    "auxiliary_data_tags download_model hugging_face_model_name_or_path k2_config "
    "k2_ctc_decoding multi_columns_input_wav_scp multi_columns_output_wav_scp "
    "nll_batch_size num_inf num_paths num_ref sot_asr use_k2 use_lang_prompt "
    "use_lightning use_maskctc use_nbest_rescoring use_nlp_prompt use_prompt "
    "use_streaming".split()
)
# Defaults that differ, with ours: ESPnet's stays 3gram.bin whatever --ngram_num is.
OTHER_DEFAULTS = {"inference_ngram": ""}
# Names that differ: the text of the perturbed set is where stage 3 puts it.
OTHER_NAMES = {
    ("speeds", "bpe_train_text"): "dump/raw/org/train_sp/text",
    ("speeds", "lm_train_text"): "dump/raw/org/train_sp/text",
}
# A word of local/asr.sh's help for the title that ESPnet gives a stage
TITLES = {
    "Data preparation": "data",
    "Speed perturbation": "speed perturbation",
    "Format wav.scp": "audio",
    "Remove long/short data": "filter",
    "Generate token_list": "tokens",
    "LM collect stats": "language model",
    "LM Training": "language model",
    "Calc perplexity": "language model",
    "Ngram Training": "language model",
    "ASR collect stats": "statistics",
    "ASR Training": "training",
    "Decoding": "decoding",
    "Scoring": "scoring",
    "Pack model": "packing",
    "Upload model to HuggingFace": "upload",
}
OWN_NAMES = """set -euo pipefail
. local/lib.sh
. local/asr_options.sh
{hook}
. local/parse_options.sh
. local/asr_names.sh
train_set=${{perturbed_set}}
note
"""


def own_values(directory: Path, names: list, options: dict, hook: str = "") -> dict:
    """Values of local/asr.sh's variables for some options."""
    script = _NOTE % " ".join(names) + OWN_NAMES.format(hook=hook)
    command = ["bash", "-c", script, "asr.sh", *command_line(options)]
    done = subprocess.run(command, cwd=directory, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return parse_notes(done.stdout)


def test_options_and_defaults():
    names = list(RECORDED["options"])
    own = own_values(RECIPE, [*names, "parse_options_only"], {}, "note; exit")
    taken = set(own["parse_options_only"].split())
    assert taken == set(names) - NOT_TAKEN
    expected = {**RECORDED["options"], **OTHER_DEFAULTS}
    assert {name: own[name] for name in taken} == {n: expected[n] for n in taken}


@pytest.mark.parametrize("case", CASES)
def test_names(case):
    expected = {**RECORDED["names"]["plain"], **RECORDED["names"][case]}
    for (where, name), value in OTHER_NAMES.items():
        if where == case:
            assert expected[name] != value, "no longer a difference"
            expected[name] = value
    own = plain_names(own_values(RECIPE, VARIABLES, {**SETS, **CASES[case]}))
    assert own == expected


def test_stages():
    driver = [*(RECIPE / "local/stages").glob("*.sh")]
    text = "".join(path.read_text(encoding="utf-8") for path in driver)
    assert set(re.findall(r"^stage_(\d+)\(\)", text, re.M)) == set(RECORDED["stages"])
    listed = re.search(
        r"^Stages: (.*?)\.$", (RECIPE / "local/asr.sh").read_text(), re.M | re.S
    )[1]
    for number, title in RECORDED["stages"].items():
        ours = [
            words
            for first, last, words in re.findall(r"(\d+)(?:-(\d+))? ([a-z\s]+)", listed)
            if int(first) <= int(number) <= int(last or first)
        ]
        assert [" ".join(words.split()) for words in ours] == [TITLES[title]]


def test_record_is_that_of_the_checkout():
    root = os.environ.get("ESPNET_ROOT", "none")
    if root == "none":
        pytest.skip("ESPNET_ROOT names no checkout")
    found = describe(Path(root), None)
    if found["espnet_version"] != RECORDED["espnet_version"]:
        pytest.skip(f"the record is of {RECORDED['espnet_version']}")
    for part in ("stages", "options", "names"):
        assert found[part] == RECORDED[part]
