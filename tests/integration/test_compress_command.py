"""``adaprune compress --train none``, from a model to a packed result."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from support.experiments import write_config
from support.packed_models import MODEL, make_recipe, pack, write_folder
from support.tiny_task_configs import TASKS
from support.tiny_tasks import training_arguments, write_data

from espnet_adaptive_dropout.bin import compress
from espnet_adaptive_dropout.compress import compress as running
from espnet_adaptive_dropout.compress.labels import Labels
from espnet_adaptive_dropout.compress.measure import comparison
from espnet_adaptive_dropout.compress.recognise import Recogniser, Recognition
from espnet_adaptive_dropout.compress.report import to_markdown
from espnet_adaptive_dropout.compress.source import open_source
from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.experiments.experiment import load_task, open_model
from espnet_adaptive_dropout.experiments.tables import read_table
from espnet_adaptive_dropout.pruning.plan import PruningPlan

NONE = ("--train", "none", "--target_reduction", "0.4")


def run(model, data, output, *options):
    compress.main(
        [str(model), "--data", str(data), "--output_dir", str(output), *NONE, *options]
    )
    return json.loads((output / "compress.json").read_text())


def refused(*options):
    with pytest.raises(SystemExit) as stop:
        compress.main([str(option) for option in options])
    return str(stop.value.code)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed stock model."""
    return pack(make_recipe(tmp_path_factory.mktemp("models") / "recipe"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of audio files."""
    return write_folder(tmp_path_factory.mktemp("audio") / "files")


@pytest.fixture
def recognise():
    """Function that recognises noise with Speech2Text.from_pretrained."""
    from espnet2.bin.asr_inference import Speech2Text

    def text(model, **options):
        speech2text = Speech2Text.from_pretrained(str(model), beam_size=1, **options)
        generator = torch.Generator().manual_seed(0)
        samples = 0.1 * torch.randn(16000, generator=generator)
        return speech2text(samples)[0][0], speech2text.asr_model

    return text


def test_a_packed_model_and_a_folder(
    packed, folder, tmp_path, monkeypatch, capsys, recognise
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    output = Path("exp/small")
    report = run(packed, folder, output)
    assert not Path("exp/small.work").exists()
    assert sorted(path.name for path in Path("exp").iterdir()) == ["small"]
    assert report["reduction"] == pytest.approx(0.4, abs=0.02)
    assert report["certificate"]["holds"]
    assert "before" in report["repair"]["encoder"]
    assert report["held_out"]["utterances"] == 8
    assert report["data"] == dict(utterances=12, labelled_by_model=12, left_out=0)
    # The experiment opens from here, and needs nothing of the packed model.
    config, model = open_model("asr", output / "config.yaml", output / MODEL)
    assert config["bpemodel"] == "exp/small/bpe.model"
    assert config["normalize_conf"]["stats_file"] == "exp/small/feats_stats.npz"
    assert (output / "images" / "loss.png").exists()
    plan = PruningPlan.from_dict(yaml.safe_load((output / "plan.yaml").read_text()))
    assert plan.repaired == report["repair"]["encoder"]["used"]
    scp = config["valid_data_path_and_name_and_type"][0][0]
    assert scp == "exp/small/data/held_out/wav.scp"
    assert all(Path(path).exists() for path in read_table(scp).values())
    # The zip opens elsewhere, where the experiment is no more.
    shutil.move("exp/small/small.zip", "small.zip")
    written = (output / "compress.md").read_text()
    shutil.rmtree("exp")
    text, unpacked = recognise("small.zip", ctc_weight=1.0)
    assert text
    for name, value in model.state_dict().items():
        assert torch.equal(value, unpacked.state_dict()[name]), name
    with zipfile.ZipFile("small.zip") as archive:
        names = set(archive.namelist())
        card = archive.read("exp/small/README.md").decode()
    wanted = ("plan.yaml", "certificate.json", "compress.json", "images/loss.png")
    assert {f"exp/small/{name}" for name in wanted} <= names
    assert "## Before and after" in card and "pip install" in card
    said = capsys.readouterr().out
    assert written in said and "12 by the model" in said


def test_an_experiment_with_transcripts(tmp_path, folder, monkeypatch):
    """A hybrid model; a Kaldi directory; held-out data of its own."""
    monkeypatch.chdir(tmp_path)
    experiment = make_recipe(tmp_path / "recipe", ctc_weight=0.3)
    files = sorted(folder.rglob("utt*"))
    for name, part in (("dev", files[:6]), ("test", files[6:10])):
        (tmp_path / name).mkdir()
        table = "".join(f"{file.stem} {file}\n" for file in part)
        (tmp_path / name / "wav.scp").write_text(table)
        text = "".join(f"{file.stem} the cat\n" for file in part)
        (tmp_path / name / "text").write_text(text)
    before = sorted(experiment.iterdir())
    report = run(
        *(experiment, "dev", tmp_path / "small", "--held_out", "test"),
        *("--criterion", "magnitude", "--repair", "false", "--keep_work", "true"),
    )
    assert sorted(experiment.iterdir()) == before
    assert report["data"]["labelled_by_model"] == 0
    assert report["held_out"]["transcribed"]
    assert report["before"]["words"] == report["after"]["words"] == 8
    assert report["repair"] is None and report["criterion"] == "magnitude"
    text = (tmp_path / "small" / "compress.md").read_text()
    assert "| WER [%] | " in text and "beam of 1" in text
    config, _ = open_model(
        "asr", tmp_path / "small/config.yaml", tmp_path / "small" / MODEL
    )
    assert config["bpemodel"].startswith("recipe/data/")  # the recipe's own stays
    assert (tmp_path / "small.work/data/calibration/text").exists()
    # Once more, over the earlier result, with the user's own file in it.
    (tmp_path / "small" / "mine").write_text("mine")
    shutil.rmtree(tmp_path / "small.work")
    more = ("--criterion", "magnitude", "--of", "model")
    report = run(experiment, "dev", tmp_path / "small", *more)
    assert (tmp_path / "small" / "mine").exists()
    assert report["after"]["decoder_params"] < report["before"]["decoder_params"]
    text = (tmp_path / "small" / "compress.md").read_text()
    assert "| decoder parameters | " in text
    assert "of encoder and decoder removed" in text
    assert set(report["repair"]) == {"encoder", "decoder"}
    assert "The decoder's output differs from the original's by " in text


def test_an_s2t_model_without_transcripts(tmp_path):
    """Its labels have language, task and time symbols."""
    tiny = TASKS["s2t"]
    data = write_data(tmp_path / "data")
    task = load_task("s2t")
    arguments = training_arguments(tiny, data, tmp_path / "exp")
    args = task.get_parser().parse_args(arguments)
    args.encoder, args.model = "conformer", "espnet"
    del args.encoder_conf["adaptive_dropout_conf"]
    torch.manual_seed(0)
    model = task.build_model(args)
    letters = [args.token_list.index(letter) for letter in "abc"]
    with torch.no_grad():
        model.decoder.output_layer.bias[letters] += 5.0
        model.ctc.ctc_lo.bias[letters] += 5.0
    (tmp_path / "exp").mkdir(exist_ok=True)
    write_config(tmp_path / "exp", args)
    torch.save(model.state_dict(), tmp_path / "exp" / "valid.acc.ave.pth")
    for name in ("text", "src_text"):
        (data / name).unlink()
    decoding = tmp_path / "decode.yaml"
    decoding.write_text("{beam_size: 1, lang_sym: <ger>, maxlenratio: -4}")
    arguments = ["--data", str(data), "--output_dir", str(tmp_path / "small")]
    text = refused(str(tmp_path / "exp"), *arguments, "--inference_config", decoding)
    assert "does not know the symbol '<ger>'; set lang_sym" in text
    decoding.write_text("{beam_size: 1, lang_sym: <eng>, maxlenratio: -4}")
    report = run(
        *(tmp_path / "exp", data, tmp_path / "small", "--keep_work", "true"),
        *("--inference_config", str(decoding)),
    )
    assert report["task"] == "s2t"
    work = tmp_path / "small.work/data/calibration"
    assert set(read_table(work / "text.prev").values()) == {"<na>"}
    assert all(t.startswith("<space>") for t in read_table(work / "text").values())
    with zipfile.ZipFile(tmp_path / "small/small.zip") as archive:
        meta = yaml.safe_load(archive.read("meta.yaml"))
    assert set(meta["yaml_files"]) == {"s2t_train_config"}


def test_the_language_model_of_a_packed_file_is_packed_again(packed, folder, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "files")
    lm = tmp_path / "files/exp/lm"
    lm.mkdir()
    (lm / "lm.pth").write_text("weights")
    (lm / "tokens.txt").write_text("a")
    (lm / "config.yaml").write_text("{token_list: exp/lm/tokens.txt, lm: seq_rnn}")
    meta = yaml.safe_load((tmp_path / "files/meta.yaml").read_text())
    meta["files"]["lm_file"] = "exp/lm/lm.pth"
    meta["yaml_files"]["lm_train_config"] = "exp/lm/config.yaml"
    (tmp_path / "files/meta.yaml").write_text(yaml.safe_dump(meta))
    shutil.make_archive(str(tmp_path / "with_lm"), "zip", tmp_path / "files")
    run(tmp_path / "with_lm.zip", folder, tmp_path / "small", "--criterion", "random")
    source = open_source(str(tmp_path / "small/small.zip"), tmp_path / "again")
    assert source.others["lm_file"].read_text() == "weights"
    config = yaml.safe_load(source.others["lm_train_config"].read_text())
    assert Path(config["token_list"]).read_text() == "a"


def test_labels_go_on_after_an_interruption(packed, folder, tmp_path, monkeypatch):
    taken = []
    labels = Recogniser._labels

    def counting(self, speech):
        taken.append(len(speech))
        if len(taken) == 14:
            raise KeyboardInterrupt
        return labels(self, speech)

    monkeypatch.setattr(Recogniser, "_labels", counting)
    with pytest.raises(SystemExit) as stop:
        run(packed, folder, tmp_path / "small")
    assert stop.value.code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["small.work"]
    memory = tmp_path / "small.work/data/calibration/recognised.jsonl"
    assert len(memory.read_text().splitlines()) == 5  # 8 are held out
    report = run(packed, folder, tmp_path / "small")
    assert report["data"]["labelled_by_model"] == 12
    assert len(taken) == 14 + 8 + 7 + 8


def test_what_is_refused_before_any_work(packed, folder, tmp_path, monkeypatch):
    output = tmp_path / "small"
    common = [packed, "--data", folder, "--output_dir", output]
    assert "--data is needed: " in refused(packed, "--output_dir", output)

    def no_work(*args, **kwargs):
        raise AssertionError("has begun")

    monkeypatch.setattr(running, "write_data", no_work)
    for options, message in (
        (["--target_reduction", "1.5"], "must be between 0 and 1"),
        (["--target_reduction", "0.999"], "0.999"),
        (["--train", "none", "--criterion", "retention"], "needs gates that were"),
        (["--train", "none", "--target_reduction", "0.999"], "0.999"),
        (["--epochs", "0"], "--epochs 0.0: must be above 0"),
        (["--ngpu", "-1"], "--ngpu -1: must be 0 or more"),
        (["--locations", "ears"], "unknown location 'ears'"),
        (["--task", "mt"], "compress takes models of the tasks asr, s2t, st, slu"),
        (["--held_out", "0.9"], "must be a share above 0 and up to 0.5"),
        (["--held_out", tmp_path / "none"], "no such directory"),
        (["--inference_config", tmp_path / "none"], "cannot be read"),
        (["--minutes", "0"], "must be above 0"),
    ):
        assert message in refused(*common, *options)
        assert list(tmp_path.iterdir()) == []


def test_a_directory_of_something_else_is_left_alone(packed, folder, tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine").write_text("mine")
    text = refused(packed, "--data", folder, "--output_dir", tmp_path / "small")
    assert "was not made by this command" in text
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def recognition(*texts):
    labels = {f"u{i}": {"text": text} for i, text in enumerate(texts)}
    return Recognition(labels, 10.0, 1.0)


def test_comparison_by_hand():
    before, after = recognition("a b", "c d e"), recognition("a b", "c x e f")
    found = comparison(Labels(), before, after, {"u0": "a b", "u1": "c d f"})
    assert found["same"] == 0.5
    assert found["difference"]["wer"] == pytest.approx(100 * 2 / 5)
    assert found["before"]["wer"] == pytest.approx(100 * 1 / 5)
    assert found["after"]["wer"] == pytest.approx(100 * 2 / 5)
    silent = comparison(Labels(), recognition("", ""), after, None)
    assert silent["difference"] is None and "before" not in silent


def test_the_report_without_rates_and_with_a_training():
    side = dict(encoder_params=10, total_params=20, megabytes=1.0, mega_macs=3.0)
    side.update(encoder_milliseconds=2.0, time_share=0.1, mac_seconds=10.0)
    report = dict(
        model="m.zip", of="encoder", reduction=0.5, criterion="retention", same=0.25,
        difference=None, repair=None, recognition="the most likely CTC path",
        device="a CPU", threads=1, before=side, after=dict(side, encoder_params=5),
        certificate=dict(largest_difference=1e-15),
        held_out=dict(utterances=8, seconds=60.0, transcribed=False),
        data=dict(utterances=9, labelled_by_model=4),
        training=dict(passes=3, steps=120),
    )  # fmt: skip
    text = to_markdown(report)
    assert "| encoder parameters | 10 | 5 | -50.0% |" in text
    assert "then 3 passes (120 batches) of training with the original" in text
    assert "as the teacher, on 9 utterances, 4 of which have no transcript" in text
    assert "25.0% of the held-out utterances are recognised as before." in text
    assert "WER" not in text and "no transcripts" in text


def test_greedy_recognition_is_the_best_path(packed, folder, tmp_path):
    """Against a count by hand of the frames' most likely tokens."""
    source = open_source(str(packed), tmp_path)
    recogniser = Recogniser("asr", source.config_file, source.model_file)
    assert recogniser.greedy
    file = sorted(folder.rglob("utt*"))[0]
    (tmp_path / "wav.scp").write_text(f"a {file}\n")
    found = recogniser(Written(tmp_path, "sound", [], 1), "test")
    import soundfile

    samples, _ = soundfile.read(file, dtype="float32")
    assert found.audio_seconds == pytest.approx(len(samples) / 16000)
    with torch.no_grad():
        encoded, _ = recogniser.model.encode(
            torch.tensor(samples)[None], torch.tensor([len(samples)])
        )
        scores = recogniser.model.ctc.ctc_lo(encoded)[0]
    tokens, last = [], None
    for number in scores.argmax(-1).tolist():
        if number not in (last, 0):
            tokens.append(recogniser.model.token_list[number])
        last = number
    assert found.texts["a"]["text"] == "".join(tokens).replace("▁", " ").strip()
