"""Mistakes and faults: what each command answers.

Every row is one fault. The answer is one line that names the option or file, the value
and the remedy, with exit status 1; nothing is written, and nothing of the user's goes.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
import yaml
from support import tiny_training
from support.experiments import make_experiment

NAN, INF = float("nan"), float("inf")


class Fault(NamedTuple):
    """A command line, what is wrong, and what must be said.

    Args:
        command: module of ``espnet_adaptive_dropout.bin``, or "train".
        options: appended to an otherwise correct command line; {r}: the directory
            with ``exp`` (trained) and ``compact`` (pruned).
        said: regular expression that the message matches.
        change: breaks the files in the directory first.
        experiment: "exp" or "compact".
    """

    command: str
    options: list[str]
    said: str
    change: Callable[[Path], Any] | None = None
    experiment: str = "exp"


FAULTS: dict[str, Fault] = {}


def add(commands: str, name: str, said: str, *options: str, **more: Any) -> None:
    """Enter a fault for each of several commands."""
    for command in commands.split():
        key = f"{command}: {name}"
        assert key not in FAULTS
        FAULTS[key] = Fault(command, list(options), said, **more)


def config(experiment: str = "exp", **values: Any) -> Callable[[Path], None]:
    """Change entries of config.yaml; ``a__b`` is entry b of a."""

    def change(root: Path) -> None:
        path = root / experiment / "config.yaml"
        content = yaml.safe_load(path.read_text())
        for name, value in values.items():
            *outer, last = name.split("__")
            entry = content
            for part in outer:
                entry = entry[part]
            entry[last] = value
        path.write_text(yaml.safe_dump(content))

    return change


def gates(**values: Any) -> Callable[[Path], None]:
    """Change options of adaptive_dropout_conf."""
    prefix = "encoder_conf__adaptive_dropout_conf__"
    return config(**{prefix + name: value for name, value in values.items()})


def content(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(data)


def weights(edit: Callable[[dict], Any]) -> Callable[[Path], None]:
    """Change the checkpoint."""

    def change(root: Path) -> None:
        path = root / "exp" / "valid.pth"
        state = torch.load(path)
        edit(state)
        torch.save(state, path)

    return change


def first_value(name: str, value: float) -> Callable[[Path], None]:
    """Overwrite one value of the first tensor of that name."""

    def edit(state: dict) -> None:
        key = next(key for key in state if name in key)
        state[key].view(-1)[0] = value

    return weights(edit)


def cut_short(root: Path) -> None:
    path = root / "exp" / "valid.pth"
    path.write_bytes(path.read_bytes()[:-5000])


def flip_a_byte(root: Path) -> None:
    """In the middle of a tensor, where PyTorch does not look."""
    path = root / "exp" / "valid.pth"
    tensor = torch.load(path)["encoder.encoders.0.feed_forward.w_1.weight"]
    data = bytearray(path.read_bytes())
    data[data.index(tensor.numpy().tobytes()) + 100] ^= 0x10
    path.write_bytes(data)


def audio(samples, rate: int = 16000) -> Callable[[Path], None]:
    """One utterance in {r}/audio.scp."""

    def change(root: Path) -> None:
        soundfile.write(root / "u.wav", samples, rate, subtype="FLOAT")
        (root / "audio.scp").write_text(f"u {root}/u.wav\n")

    return change


MODEL = "prune measure export"

# The config
add(
    MODEL,
    "config missing",
    "none.yaml: .*No such file",
    "--train_config",
    "{r}/none.yaml",
)
add(MODEL, "config is a directory", "exp: .*directory", "--train_config", "{r}/exp")
for name, said, data in (
    ("empty", "config.yaml: is empty", b""),
    ("not UTF-8", "config.yaml: .*(UTF-8|not YAML)", "a: é".encode("latin1")),
    ("not YAML", "config.yaml: this is not YAML", b"a: [1\nb: }"),
    ("a list", "config.yaml: no 'encoder' in it; give the config.yaml", b"- 1\n"),
    ("of another kind", "config.yaml: no 'encoder' in it; give", b"a: 1\n"),
):
    add(MODEL, f"config {name}", said, change=content("exp/config.yaml", data))
add(
    MODEL,
    "config and model swapped",
    "valid.pth: .*config",
    *("--train_config", "{r}/exp/valid.pth", "--model_file", "{r}/exp/config.yaml"),
)
add(
    "prune measure",
    "config of conf/",
    "'?token_list'?.*config.yaml that ESPnet wrote",
    change=lambda root: (
        config()(root)
        or (root / "exp/config.yaml").write_text(
            "encoder: adaptive_dropout_conformer\n"
            "encoder_conf: {output_size: 16, num_blocks: 2, attention_heads: 4}\n"
        )
    ),
)
add("prune", "another encoder", "transformer", change=config(encoder="transformer"))
add("prune", "pruned already", "cannot be pruned", experiment="compact")
add("prune", "encoder_conf text", "encoder_conf", change=config(encoder_conf="x"))
for name, value in (("nope", 12), ("linear_units", "12"), ("num_blocks", None)):
    change = config(**{f"encoder_conf__{name}": value})
    add("prune measure", f"encoder_conf.{name}", name, change=change)
add(
    "prune",
    "narrower config",
    "valid.pth: .*match",
    change=config(encoder_conf__linear_units=12),
)
add("prune", "token list missing", "none.txt: ", change=config(token_list="none.txt"))
for name, value, said in (
    ("alpha", "much", "alpha='much' is not a number"),
    ("target_reduction", None, "target_reduction=None is not a number"),
    ("locations", {}, "locations={} is not a list"),
    ("initial_logit", NAN, "initial_logit=nan is not a finite"),
    ("freeze_at", INF, "freeze_at=inf is not a finite"),
    ("cost_frames", 1.5, "cost_frames=1.5 is not a whole number"),
    ("nope", 1, "no option nope; known are"),
):
    add("prune measure", f"gates {name}", said, change=gates(**{name: value}))
add(
    "prune",
    "target changed",
    "config says target_reduction=0.3",
    change=gates(target_reduction=0.3),
)
add(
    "prune",
    "locations changed",
    "ffn_macaron.*locations of the config",
    change=gates(locations=["ffn"]),
)
add("prune", "cost changed", "valid.pth: .*macs", change=gates(cost="macs"))

# The checkpoint
add(MODEL, "model missing", "none.pth: .*No such file", "--model_file", "{r}/none.pth")
add(MODEL, "model is a directory", "exp: .*directory", "--model_file", "{r}/exp")
for name, change in (
    ("empty", content("exp/valid.pth", b"")),
    ("text", content("exp/valid.pth", b"hello")),
    ("cut short", cut_short),
    ("flipped", flip_a_byte),
):
    add(MODEL, f"model {name}", "valid.pth: .*copy it again", change=change)
W_1 = "encoder.encoders.0.feed_forward.w_1.weight"
GATE = "encoder.encoders.0.self_attn.query_gate.logits"
add("prune measure", "weight missing", W_1, change=weights(lambda s: s.pop(W_1)))
add(
    "prune", "gate missing", f"{GATE} is missing", change=weights(lambda s: s.pop(GATE))
)
for name in ("gate.logits", "w_1.weight", "running_var", "ctc_lo", "decoder.embed"):
    for value in (NAN, INF):
        change = first_value(name, value)
        add("prune", f"{value} in {name}", f"valid.pth: .*{name}", change=change)
add(
    "prune",
    "not frozen",
    "valid.pth: .*frozen",
    change=first_value("control.frozen", 0.0),
)
add(
    "prune",
    "half frozen",
    "valid.pth: averages",
    change=first_value("control.frozen", 0.5),
)

# Options
TARGET = "--target_reduction"
for value in ("0", "1", "54", "-1", "nan"):
    add("prune sweep", f"target {value}", f"{TARGET} {value}", TARGET, value)
add(
    "prune sweep",
    "target above the bound",
    "target_reduction=0.99.* more than",
    TARGET,
    "0.99",
)
for criterion, value, said in (
    ("random", "seed=x", "seed=x"),
    ("random", "seed=1.5", "seed=1.5"),
    ("random", "nope=1", "nope"),
    ("random", "locations=[ffn,nope]", "unknown location 'nope'; known are"),
    ("random", "locations=5", "locations"),
    ("random", "locations=[]", "more than these locations can give"),
    ("magnitude", "norm=0", "norm=0: must be 1 or 2"),
    ("magnitude", "norm=[1]", r"norm=\[1\]: must be 1 or 2"),
    ("taylor", "batches=0", "batches=0"),
    ("taylor", "data=x", "'x' is not a list of PATH,NAME,TYPE"),
    ("taylor", "norm_by_group=3", "norm_by_group=3: must be true or false"),
):
    options = ("--criterion", criterion, TARGET, "0.2", "--criterion_conf", value)
    add("prune", f"{criterion} {value}", said, *options)
for option, values in (
    ("--utterances", ("0", "-1")),
    ("--tolerance", ("-1", "0", "nan", "inf")),
    ("--cost_frames", ("0", "-1")),
):
    for value in values:
        add("prune", f"{option} {value}", f"{option} {value}", option, value)
add(
    "prune",
    "few frames",
    "cost_frames=1: .* 7 frames",
    "--cost",
    "macs",
    "--cost_frames",
    "1",
)
for value in ("nope", "abs_task", "../asr", "", "asr.x"):
    add(
        "prune measure",
        f"task {value!r}",
        f"--task '?{re.escape(value)}",
        "--task",
        value,
    )
for value in ("lm", "diar"):
    add("prune measure", f"task {value}", "--task", "--task", value)
for value, said in (
    ("", "--output_dir"),
    (".", "--output_dir"),
    ("/", "--output_dir"),
    ("{r}/exp", "exp: exists and was not made by this command; choose another"),
    ("{r}/link", "link"),
    ("{r}/exp/config.yaml", "config.yaml: exists and was not made by this command"),
    ("{r}/exp/config.yaml/x", "config.yaml"),
    ("/proc/x", "/proc"),
):
    add("prune export report", f"output_dir {value!r}", said, "--output_dir", value)

# The audio of the certificate
for value, said in (
    ("x", "--data 'x' is not PATH,NAME,TYPE, for example"),
    ("{r}/exp/wav.scp,speech", "is not PATH,NAME,TYPE, for example"),
    (",,", "--data ',,' is not PATH,NAME,TYPE"),
    ("none.scp,speech,sound", "none.scp: .*No such file"),
    ("{r}/exp,speech,sound", "exp: .*directory"),
    ("{r}/exp/wav.scp,speech,nope", "wav.scp: .*nope"),
    ("{r}/exp/wav.scp,nope,sound", "wav.scp: .*nope"),
    ("{r}/exp/text,speech,sound", "text: cannot read"),
):
    add("prune", f"data {value}", said, "--data", value)
AUDIO = ("--data", "{r}/audio.scp,speech,sound")
for name, data in (
    ("empty", b""),
    ("no path", b"u\n"),
    ("no such file", b"u nowhere.wav\n"),
    ("not UTF-8", "é x.wav\n".encode("latin1")),
):
    add("prune", f"scp {name}", "audio.scp", *AUDIO, change=content("audio.scp", data))
for name, samples in (
    ("too short", np.zeros(50)),
    ("empty", np.zeros(0)),
    ("NaN", np.full(16000, NAN)),
):
    add("prune", f"audio {name}", "audio.scp", *AUDIO, change=audio(samples))

# Widths in the config of a pruned model, edited by hand
WIDTHS = dict(
    ffn=1, query=[1] * 4, value=[1] * 4, ffn_macaron=1, conv_input="0", conv_channel=2
)
for entry, value, said in (
    ("ffn", -1, "ffn=-1 must be"),
    ("ffn", "x", "ffn='x' must be"),
    ("ffn", None, "ffn=None must be"),
    ("ffn", 1.5, "ffn=1.5 must be"),
    ("conv_input", "5-3", "'5-3'"),
    ("conv_input", "0-99", "99.* 16"),
    ("query", [-1, 1, 1, 1], "query=-1 must be"),
    ("query", 3, "query=3 must be a list of 4"),
    ("nope", 1, "nope"),
):
    change = config(
        "compact", encoder_conf__widths=[dict(WIDTHS, **{entry: value})] * 2
    )
    name = f"widths {entry}={value}"
    add("measure export", name, said, change=change, experiment="compact")
for value in (None, "abc", [], [WIDTHS], [1, 2]):
    change = config("compact", encoder_conf__widths=value)
    add(
        "measure",
        f"widths {str(value)[:9]}",
        "widths",
        change=change,
        experiment="compact",
    )
for value in ([-1, 3], [3], "ab", [1, 2, 3], [None, 2]):
    change = config("compact", encoder_conf__subsampling=value)
    add(
        "measure",
        f"subsampling {value}",
        "subsampling",
        change=change,
        experiment="compact",
    )

# One command each
add("export", "a model with gates", "config.yaml: .*bin.prune|adaprune prune")
add(
    "export",
    "nothing to do",
    "--onnx false --int8 false",
    "--onnx",
    "false",
    "--int8",
    "false",
    experiment="compact",
)
for value in ("none", "exp/config.yaml"):
    add("report", f"exp {value}", f"{value}/config.yaml: ", "--exp", "{r}/" + value)
    add(
        "report",
        f"pruned {value}",
        f"{value}/config.yaml: ",
        "--pruned",
        "{r}/" + value,
    )
for value in ("none.json", "exp/config.yaml", "compact/report.json"):
    add("report", f"sweep {value}", f"{value}: ", "--sweep", "{r}/" + value)
add("report", "no export", "none/export.json: ", "--export", "{r}/none")
for data in (b"{", b"[1]"):
    change = content("compact/report.json", data)
    add("report", f"report.json {data.decode()}", "report.json: ", change=change)
add("sweep", "no GPU", "--ngpu 1: .*no GPU", "--ngpu", "1")
add("sweep", "batches of none", "--batch_size 0", "--batch_size", "0")
add(
    "sweep",
    "nothing to decode with",
    "--inference_config",
    "--references",
    "{r}/exp/text",
)
add(
    "sweep",
    "no such config",
    "none.yaml: no such file",
    "--inference_config",
    "{r}/none.yaml",
)
add("sweep", "no such model", "none.pth: ", "--model_file", "{r}/none.pth")

SPEECH = ("--data", "{r}/exp/wav.scp,speech,sound")
add("sweep", "speech without text", "wav.scp: .*text", *SPEECH)
add(
    "sweep",
    "a text is missing",
    "one: .*utt1",
    *(*SPEECH, "--data", "{r}/one,text,text"),
    change=content("one", b"utt0 C\n"),
)

# Training
for name, conf, said in (
    ("unknown option", dict(nope=1), "no option nope; known are"),
    ("a target of text", dict(target_reduction="half"), "target_reduction='half'"),
    ("a target above the bound", dict(target_reduction=0.99), "target_reduction=99"),
    ("a location that is not there", dict(locations=["ffn_macaron"]), "ffn_macaron"),
    ("infinite logits", dict(initial_logit=INF), "initial_logit=inf"),
    ("few frames", dict(cost="macs", cost_frames=3), "cost_frames=3"),
):
    add("train", name, said, yaml.safe_dump(conf))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A trained and a pruned experiment."""
    from espnet_adaptive_dropout.bin import prune

    root = tmp_path_factory.mktemp("faults")
    (root / "exp").mkdir()
    make_experiment(root / "exp")
    options = command_line("prune", root, "exp")
    prune.main([*options, "--output_dir", str(root / "compact")])
    return root


def command_line(command: str, root: Path, experiment: str) -> list[str]:
    """A command line with nothing wrong in it."""
    output = ["--output_dir", f"{root}/out"]
    if command == "report":
        pair = ["--exp", f"{root}/exp", "--pruned", f"{root}/compact"]
        return [*pair, *output, "--measure_time", "false"]
    directory = root / experiment
    model = ["--train_config", f"{directory}/config.yaml"]
    model += ["--model_file", f"{directory}/valid.pth"]
    more = {"measure": [], "export": [*output, "--measure_time", "false"]}
    more["sweep"] = [*output, TARGET, "0.2", "0.4"]
    return [*model, *more.get(command, output)]


def contents(root: Path) -> dict[str, str]:
    """All there is in a directory."""
    found = {}
    for path in root.rglob("*"):
        value = "directory"
        if path.is_symlink():
            value = f"link to {os.readlink(path)}"
        elif path.is_file():
            value = hashlib.sha1(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = value
    return found


def run(command: str, arguments: list[str]) -> None:
    importlib.import_module(f"espnet_adaptive_dropout.bin.{command}").main(arguments)


@pytest.fixture
def root(made, tmp_path, monkeypatch) -> Path:
    """A copy to break, with something of the user's beside it; cwd is elsewhere."""
    root = tmp_path / "root"
    shutil.copytree(made, root)
    for name in ("out.old", "out.partial", "mine"):
        (root / name).mkdir()
        (root / name / "notes").write_text("mine")
    (root / "link").symlink_to("mine")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return root


@pytest.mark.parametrize("name", FAULTS)
def test_fault(root, name, capsys):
    fault = FAULTS[name]
    if fault.change is not None:
        fault.change(root)
    if fault.command == "train":
        options, _ = fault.options, tiny_training.write_data(root / "data")
        conf = tiny_training.encoder_conf(**yaml.safe_load(options[0]))
        arguments = tiny_training.command(
            root / "data", root / "out", encoder_conf=conf
        )
    else:
        options = [option.replace("{r}", str(root)) for option in fault.options]
        arguments = command_line(fault.command, root, fault.experiment) + options
    before = contents(root)
    with pytest.raises(SystemExit) as stop:
        if fault.command == "train":
            importlib.import_module("espnet2.bin.asr_train").main(arguments)
        else:
            run(fault.command, arguments)
    message = stop.value.code
    assert isinstance(message, str), "exit status 1 and a line on stderr"
    prefix = "espnet_adaptive_dropout" if fault.command == "train" else fault.command
    assert message.startswith(f"{prefix}: ")
    assert "\n" not in message and len(message) < 600
    assert re.search(fault.said, message), message
    assert contents(root) == before
    assert not list(Path.cwd().iterdir())
