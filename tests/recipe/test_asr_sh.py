"""The stage driver: options, errors, and the stages that need no training."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import soundfile
from common import read_table
from support.paths import RECIPE

SETS = ("--train_set", "train", "--valid_set", "dev", "--test_sets", "test")
BASE = ("local/asr.sh", *SETS, "--lang", "en", "--use_lm", "false", "--nj", "2")


@pytest.fixture
def data(make_set):
    """data/{train,dev,test} with a handful of utterances."""
    train = {f"s{i}-{j}": 0.4 + 0.1 * j for i in range(2) for j in range(3)}
    make_set("train", {**train, "s9-long": 3.0, "s9-short": 0.05})
    make_set("dev", {"d1-1": 0.4, "d1-2": 0.5})
    make_set("test", {"t1-1": 0.4, "t1-2": 4.0})


def defaults() -> dict:
    text = (RECIPE / "local" / "asr_options.sh").read_text()
    return dict(re.findall(r"^([a-z_]+)=(\S*)", text, re.M))


def test_defaults_are_those_of_espnet():
    expected = {
        "stage": "1",
        "stop_stage": "10000",
        "ngpu": "1",
        "num_nodes": "1",
        "nj": "32",
        "inference_nj": "32",
        "dumpdir": "dump",
        "expdir": "exp",
        "python": "python3",
        "audio_format": "flac",
        "fs": "16k",
        "min_wav_duration": "0.1",
        "max_wav_duration": "20",
        "token_type": "bpe",
        "nbpe": "30",
        "bpemode": "unigram",
        "use_lm": "true",
        "feats_normalize": "global_mvn",
        "inference_asr_model": "valid.acc.ave.pth",
        "asr_speech_fold_length": "800",
        "asr_text_fold_length": "150",
        "skip_packing": "true",
        "skip_upload_hf": "true",
    }
    found = defaults()
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "options, status, said",
    [
        (("--nbep", "30"), 2, "unknown option --nbep"),
        (("--here", "30"), 2, "unknown option --here"),
        (("--nj", "many"), 2, "--nj must be a whole number"),
        (("--feats_type", "fbank"), 1, "--feats_type fbank is not supported"),
        (("--token_type", "phn"), 1, "--token_type phn is not supported"),
        (("--asr_task", "enh"), 1, "--asr_task enh is not supported"),
        (("--fs", "high"), 1, "--fs high is not a rate"),
        (("--stage", "3", "--audio_format", "mp3"), 1, "--audio_format mp3"),
        (("extra",), 1, "no argument without -- is known: 'extra'"),
        (("--stage", "2", "--speed_perturb_factors", "0.9"), 1, "run stage 1 first"),
        (("--stage", "3"), 1, "data/train/wav.scp is missing: run stage 1 first"),
        (("--stage", "4"), 1, "dump/raw/org/train/wav.scp is missing: run stage 3"),
        (("--stage", "5"), 1, "dump/raw/org/train/text is missing: run stage 3"),
        (("--stage", "10"), 1, "dump/raw/train/wav.scp is missing: run stage 4"),
        (("--stage", "11"), 1, "text_shape.bpe is missing: run stage 10"),
        (("--stage", "12"), 1, "config.yaml is missing: run stage 11"),
        (("--stage", "13"), 1, "test/text is missing: run stage 12"),
        (("--stage", "14", "--skip_packing", "false"), 1, "run stage 11"),
        (("--stage", "15", "--skip_upload_hf", "false"), 1, "--hf_repo user/name"),
    ],
)
def test_errors_are_one_line(run_in, options, status, said):
    done = run_in(*BASE, *options)
    assert done.returncode == status
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_required_options(run_in):
    done = run_in("local/asr.sh", "--train_set", "train")
    assert done.returncode == 1
    assert "--valid_set is required" in done.stderr


def test_help_lists_options_with_defaults(run_in):
    done = run_in("local/asr.sh", "--help")
    assert done.returncode == 0
    assert re.search(r"^  --max_wav_duration=20 +# seconds$", done.stdout, re.M)


def test_stages_2_to_5(recipe, run_in, data):
    options = ("--speed_perturb_factors", "0.9 1.0", "--max_wav_duration", "2")
    done = run_in(*BASE, *options, "--stage", "2", "--stop_stage", "5", "--nbpe", "9")
    assert done.returncode == 0, done.stderr
    samples = read_table(recipe / "dump/raw/train_sp/utt2num_samples")
    assert len(samples) == 12  # 6 utterances at two speeds; short and long ones left
    assert samples["s0-0"] == "6400"
    assert samples["sp0.9-s0-0"] == "7111"
    assert read_table(recipe / "dump/raw/train_sp/spk2utt").keys() == {
        "s0",
        "s1",
        "sp0.9-s0",
        "sp0.9-s1",
    }
    # the test set keeps its long utterance
    assert set(read_table(recipe / "dump/raw/test/wav.scp")) == {"t1-1", "t1-2"}
    for path in read_table(recipe / "dump/raw/train_sp/wav.scp").values():
        assert soundfile.info(recipe / path).samplerate == 16000
    tokens = recipe / "data/en_token_list/bpe_unigram9/tokens.txt"
    assert len(tokens.read_text(encoding="utf-8").split()) == 9


def test_speeds_without_sox(recipe, run_in, data, tmp_path):
    path = tmp_path / "bin"  # all that is on PATH, without sox
    path.mkdir()
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("*"):
            link = path / program.name
            if program.name != "sox" and not link.is_symlink():
                link.symlink_to(program)
    options = ("--speed_perturb_factors", "0.9", "--stage", "2", "--stop_stage", "3")
    done = run_in(*BASE, *options, PATH=str(path))
    assert done.returncode == 0, done.stderr
    table = read_table(recipe / "data/train_sp/wav.scp")
    assert table["sp0.9-s0-0"] == "data/train_sp0.9/audio/sp0.9-s0-0.flac"
    samples = read_table(recipe / "dump/raw/org/train_sp/utt2num_samples")
    assert samples["sp0.9-s0-0"] == "7111"


def test_stage_can_be_repeated_with_other_settings(recipe, run_in, data):
    stage_3 = ("--stage", "3", "--stop_stage", "3")
    assert run_in(*BASE, *stage_3).returncode == 0
    first = read_table(recipe / "dump/raw/org/train/wav.scp")
    done = run_in(*BASE, *stage_3, "--fs", "8k", "--nj", "1")
    assert done.returncode == 0, done.stderr
    second = read_table(recipe / "dump/raw/org/train/wav.scp")
    assert first.keys() == second.keys()
    assert soundfile.info(recipe / second["s0-0"]).samplerate == 8000
    assert soundfile.info(recipe / first["s0-0"]).samplerate == 16000


def test_damaged_audio_stops_stage_3_and_leaves_no_list(recipe, run_in, data):
    assert run_in(*BASE, "--stage", "3", "--stop_stage", "3").returncode == 0
    wav_scp = recipe / "data/train/wav.scp"
    (recipe / "bad.flac").write_text("not audio")
    lines = wav_scp.read_text().splitlines()
    wav_scp.write_text("\n".join([*lines[:-1], "s9-short bad.flac"]) + "\n")
    done = run_in(*BASE, "--stage", "3", "--stop_stage", "3")
    assert done.returncode == 1
    assert "s9-short: bad.flac cannot be read as audio" in done.stderr
    assert "Traceback" not in done.stderr
    # a list of the first run would hide that the directory is unfinished
    done = run_in(*BASE, "--stage", "4", "--stop_stage", "4")
    assert "dump/raw/org/train/wav.scp is missing: run stage 3" in done.stderr


def test_characters(recipe, run_in, data):
    options = ("--token_type", "char", "--stage", "3", "--stop_stage", "5")
    done = run_in(*BASE, *options)
    assert done.returncode == 0, done.stderr
    tokens = (recipe / "data/en_token_list/char/tokens.txt").read_text().split()
    assert tokens[0] == "<blank>" and tokens[-1] == "<sos/eos>"
    assert set(tokens) == {"<blank>", "<unk>", "<sos/eos>", "<space>", *"ONETW"}


def test_skipping(run_in):
    options = ("--skip_data_prep", "true", "--skip_stages", "10 11 9 6")
    done = run_in(*BASE, *options, "--skip_eval", "true")
    assert done.returncode == 0, done.stderr
    for number in (1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15):
        assert f"Stage {number}: skipped, as the options say" in done.stdout


def test_missing_gpu(recipe, run_in, data):
    shutil.rmtree(recipe / "data")
    shapes = recipe / "exp/asr_stats_raw_en_bpe30/valid"
    shapes.mkdir(parents=True)
    (shapes / "text_shape.bpe").write_text("")
    options = ("--stage", "11", "--stop_stage", "11", "--ngpu", "2")
    done = run_in(*BASE, *options, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert "--ngpu 2, but PyTorch finds 0 GPUs here; give --ngpu 0" in done.stderr


def fake_decoding(recipe, hypotheses):
    data = recipe / "dump/raw/test"
    data.mkdir(parents=True)
    (data / "text").write_text("t1-1 ONE TWO\nt1-2 ONE TWO\n")
    (data / "utt2spk").write_text("t1-1 t1\nt1-2 t1\n")
    decoded = recipe / "exp/asr_x/inference_asr_model_valid.acc.ave/test"
    decoded.mkdir(parents=True)
    (decoded / "text").write_text(hypotheses)
    return decoded


def test_scoring(recipe, run_in):
    decoded = fake_decoding(recipe, "t1-1 ONE TWO\nt1-2 ONE\n")
    options = ("--asr_tag", "x", "--token_type", "char", "--stage", "13")
    done = run_in(*BASE, *options)
    assert done.returncode == 0, done.stderr
    results = (recipe / "exp/asr_x/RESULTS.md").read_text()
    row = "|inference_asr_model_valid.acc.ave/test|2|4|75.0|0.0|25.0|0.0|25.0|50.0|"
    assert row in results
    assert row in done.stdout
    assert (decoded / "score_cer/result.txt").exists()


def test_failing_scorer_is_seen(recipe, run_in):
    fake_decoding(recipe, "t1-1 ONE TWO\n")
    options = ("--asr_tag", "x", "--token_type", "char", "--stage", "13")
    done = run_in(*BASE, *options)
    assert done.returncode == 1
    assert "t1-2 is not in both" in done.stderr
    assert not (recipe / "exp/asr_x/RESULTS.md").exists()


def test_audio_that_has_gone(recipe, run_in, data, tmp_path):
    assert run_in(*BASE, "--stage", "3", "--stop_stage", "3").returncode == 0
    experiment = recipe / "exp/asr_x"
    experiment.mkdir(parents=True)
    (experiment / "config.yaml").write_text("encoder: conformer\n")
    (experiment / "valid.acc.ave.pth").write_text("")
    (tmp_path / "test-t1-2.flac").unlink()
    done = run_in(*BASE, "--asr_tag", "x", "--stage", "12")
    assert done.returncode == 1
    assert "test-t1-2.flac is gone; start with --stage 1" in done.stderr
    assert done.stderr.count("\n") == 1
