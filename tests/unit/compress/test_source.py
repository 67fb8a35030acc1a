"""Models in all the forms in which they are kept, and in none."""

import shutil
import zipfile

import pytest
import yaml
from huggingface_hub import errors
from support.packed_models import BPE, MODEL, STATS

from espnet_adaptive_dropout.compress.source import open_source
from espnet_adaptive_dropout.experiments.experiment import load_config, open_model


def check_opens(source):
    config, _ = open_model(source.task, source.config_file, source.model_file)
    for file in (config["bpemodel"], config["normalize_conf"]["stats_file"]):
        assert file.startswith("/")
    return config


def test_a_packed_file(packed, tmp_path):
    source = open_source(str(packed), tmp_path / "work")
    config = check_opens(source)
    assert source.task == "asr"
    assert source.root == (tmp_path / "work/unpacked")
    assert config["bpemodel"] == str(source.root / BPE)
    assert (source.experiment / "images" / "loss.png").exists()


def test_a_packed_file_with_a_language_model(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "files")
    (tmp_path / "files/exp/lm").mkdir()
    (tmp_path / "files/exp/lm/lm.pth").write_text("lm")
    meta = yaml.safe_load((tmp_path / "files/meta.yaml").read_text())
    meta["files"]["lm_file"] = "exp/lm/lm.pth"
    (tmp_path / "files/meta.yaml").write_text(yaml.safe_dump(meta))
    shutil.make_archive(str(tmp_path / "with_lm"), "zip", tmp_path / "files")
    source = open_source(str(tmp_path / "with_lm.zip"), tmp_path / "work")
    assert {name: path.read_text() for name, path in source.others.items()} == {
        "lm_file": "lm"
    }


def test_a_packed_file_without_its_tokeniser(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "files")
    (tmp_path / "files" / BPE).unlink()
    shutil.make_archive(str(tmp_path / "incomplete"), "zip", tmp_path / "files")
    message = f"incomplete.zip: its tokeniser .*{BPE} is missing; pack the model with"
    with pytest.raises(ValueError, match=message):
        open_source(str(tmp_path / "incomplete.zip"), tmp_path / "work")


def test_an_experiment_directory_from_elsewhere(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = open_source("recipe/exp/asr", tmp_path / "work")
    config = check_opens(source)
    assert source.model_file.name == MODEL and source.root is None
    assert config["normalize_conf"]["stats_file"] == str(tmp_path / "recipe" / STATS)


def test_a_config_of_2020(experiment, tmp_path):
    """Without the options of later releases, and with values that are gone since."""
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    for name in ("version", "model", "preencoder", "postencoder", "init_param"):
        config.pop(name, None)
    config.update(pretrain_path=[], pretrain_key=[], init="chainer")
    config["ctc_conf"] = dict(dropout_rate=0.0, ctc_type="warpctc", reduce=True)
    config["encoder_conf"].pop("rel_pos_type")
    (experiment / "config.yaml").write_text(yaml.safe_dump(config))
    source = open_source(str(experiment), tmp_path / "work")
    check_opens(source)


def test_config_and_checkpoint(experiment, tmp_path):
    config = str(experiment / "config.yaml")
    with pytest.raises(ValueError, match="--model_file CHECKPOINT.pth is needed"):
        open_source(config, tmp_path / "work")
    source = open_source(config, tmp_path / "work", None, experiment / MODEL)
    check_opens(source)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("input_size", 83, r"asr: reads features \(input_size: 83\), compress has"),
        ("postdecoder", "bert", r"asr: reads transcripts too \(postdecoder: bert\)"),
    ],
)
def test_a_model_that_reads_more_than_audio(
    option, value, message, experiment, tmp_path
):
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    (experiment / "config.yaml").write_text(yaml.safe_dump({**config, option: value}))
    with pytest.raises(ValueError, match=message):
        open_source(str(experiment), tmp_path / "work")


def test_the_link_of_an_average_is_the_same_checkpoint(experiment, tmp_path):
    (experiment / MODEL).rename(experiment / "valid.acc.ave_10best.pth")
    (experiment / MODEL).symlink_to("valid.acc.ave_10best.pth")
    source = open_source(str(experiment), tmp_path / "work")
    assert source.model_file == experiment / MODEL


@pytest.mark.parametrize("also", ["valid.loss.ave.pth", None])
def test_an_unclear_checkpoint_is_refused_with_the_list(experiment, tmp_path, also):
    if also:
        (experiment / also).write_bytes(b"other")
    else:
        (experiment / MODEL).rename(experiment / "3epoch.pth")
    names = sorted(path.name for path in experiment.glob("*.pth"))
    with pytest.raises(ValueError, match="choose one with --model_file") as refusal:
        open_source(str(experiment), tmp_path / "work")
    assert str(refusal.value).endswith(", ".join(names))
    chosen = experiment / names[0]
    source = open_source(str(experiment), tmp_path / "work", None, chosen)
    assert source.model_file == chosen


def test_the_config_of_an_older_release(experiment, tmp_path):
    path = experiment / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for name in ("model", "preencoder", "postencoder", "preprocessor", "aux_ctc_tasks"):
        config.pop(name, None)
    config["ctc_conf"] = {"ctc_type": "warpctc"}
    path.write_text(yaml.safe_dump(config))
    check_opens(open_source(str(experiment), tmp_path / "work"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("none.zip", "none.zip: no such file or directory; MODEL must be a packed"),
        ("./none", "./none: no such file or directory"),
        ("notes.txt", "notes.txt: not a file that ESPnet packs"),
        ("broken.zip", "broken.zip: cannot be unpacked as a model of ESPnet's stage"),
        ("other.zip", "other.zip: cannot be unpacked .* not found meta.yaml"),
        ("empty", "empty: no config.yaml in this directory"),
        ("untrained", "untrained: no checkpoint"),
    ],
)
def test_what_is_no_model(experiment, tmp_path, monkeypatch, model, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "broken.zip").write_bytes(b"PK broken")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    for name in ("empty", "untrained"):
        (tmp_path / name).mkdir()
    shutil.copy(experiment / "config.yaml", tmp_path / "untrained")
    with pytest.raises(ValueError, match=message):
        open_source(model, tmp_path / "work")


def test_a_checkpoint_option_beside_a_packed_file_is_refused(packed, tmp_path):
    with pytest.raises(ValueError, match="has a checkpoint of its own"):
        open_source(str(packed), tmp_path, None, "a.pth")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.LocalEntryNotFoundError("x"), "no connection to the Hugging Face hub"),
        (errors.HFValidationError("x"), "not a name that the Hugging Face hub has"),
        (ConnectionError("broken"), "cannot be fetched .ConnectionError: broken"),
    ],
)
def test_names_that_cannot_be_fetched(tmp_path, monkeypatch, error, message):
    from espnet_model_zoo.downloader import ModelDownloader

    def fail(self, name):
        raise error

    monkeypatch.setattr(ModelDownloader, "__init__", lambda self: None)
    monkeypatch.setattr(ModelDownloader, "download_and_unpack", fail)
    with pytest.raises(ValueError, match=f"^me/model: .*{message}"):
        open_source("me/model", tmp_path)


def test_the_completed_config_is_a_copy(experiment, tmp_path):
    before = (experiment / "config.yaml").read_bytes()
    source = open_source(str(experiment), tmp_path / "work")
    assert (experiment / "config.yaml").read_bytes() == before
    assert load_config(source.config_file)["encoder"] == "conformer"
