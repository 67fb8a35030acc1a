"""Mistakes and faults: what each command answers.

Every row is one fault. The answer is one line that names the option or file, the value
and the remedy, with exit status 1; nothing is written, and nothing of the user's goes.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
import yaml
from support import tiny_training
from support.experiments import model_options, pruned_experiment

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


def add(commands: str, said: str, options: str = "", name: str = "", **more: Any):
    """Enter a fault for each of several commands, by its name or its options."""
    for command in commands.split():
        key = f"{command}: {name or options}"
        assert key not in FAULTS
        FAULTS[key] = Fault(command, shlex.split(options), said, **more)


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


def only_encoder(root: Path) -> None:
    """A config as in conf/."""
    (root / "exp/config.yaml").write_text(
        "encoder: adaptive_dropout_conformer\n"
        "encoder_conf: {output_size: 16, num_blocks: 2, attention_heads: 4}\n"
    )


MODEL = "prune measure export"
W_1 = "encoder.encoders.0.feed_forward.w_1.weight"
GATE = "encoder.encoders.0.self_attn.query_gate.logits"

# The config
add(MODEL, "none.yaml: .*No such file", "--train_config {r}/none.yaml")
add(MODEL, "exp: .*directory", "--train_config {r}/exp")
for name, said, data in (
    ("empty", "config.yaml: is empty", b""),
    ("not UTF-8", "config.yaml: .*(UTF-8|not YAML)", "a: é".encode("latin1")),
    ("not YAML", "config.yaml: this is not YAML", b"a: [1\nb: }"),
    ("a list", "config.yaml: no 'encoder' in it; give the config.yaml", b"- 1\n"),
    ("of another kind", "config.yaml: no 'encoder' in it; give", b"a: 1\n"),
    ("encoder in a list", "names no encoder", b"encoder: [1]\n"),
):
    add(MODEL, said, name=f"config {name}", change=content("exp/config.yaml", data))
add(MODEL, "valid.pth: a model file, not a config", "--train_config {r}/exp/valid.pth")
add(MODEL, "yaml: a config, not a model file", "--model_file {r}/exp/config.yaml")
for commands, name, said, change in (
    (
        "prune measure",
        "config of conf/",
        "the config has no 'token_list'; give the config.yaml that ESPnet wrote",
        only_encoder,
    ),
    ("prune", "another encoder", "transformer", config(encoder="transformer")),
    ("prune", "encoder_conf text", "encoder_conf", config(encoder_conf="x")),
    ("prune", "narrower", "pth: .*match", config(encoder_conf__linear_units=12)),
    ("prune", "no token list", "none.txt: ", config(token_list="none.txt")),
    (
        "prune",
        "target changed",
        "config says target_reduction=0.3",
        gates(target_reduction=0.3),
    ),
    (
        "prune",
        "locations changed",
        "ffn_macaron.*locations of the config",
        gates(locations=["ffn"]),
    ),
    ("prune", "cost changed", "valid.pth: .*macs", gates(cost="macs")),
    ("prune", "widths changed", "pth: .*multiple_of=8", gates(multiple_of=8)),
):
    add(commands, said, name=name, change=change)
add("prune", "cannot be pruned", name="pruned already", experiment="compact")
for name, value in (("nope", 12), ("linear_units", "12"), ("num_blocks", None)):
    change = config(**{f"encoder_conf__{name}": value})
    add("prune measure", name, name=f"encoder_conf.{name}", change=change)
for name, value, said in (
    ("alpha", "much", "alpha='much' is not a number"),
    ("target_reduction", None, "target_reduction=None is not a number"),
    ("locations", {}, "locations={} is not a list"),
    ("initial_logit", NAN, "initial_logit=nan is not a finite"),
    ("freeze_at", INF, "freeze_at=inf is not a finite"),
    ("cost_frames", 1.5, "cost_frames=1.5 is not a whole number"),
    ("nope", 1, "no option nope; known are"),
):
    change = gates(**{name: value})
    add("prune measure", said, name=f"gates {name}", change=change)

# The checkpoint
add(MODEL, "none.pth: .*No such file", "--model_file {r}/none.pth")
add(MODEL, "exp: .*directory", "--model_file {r}/exp")
for name, change in (
    ("empty", content("exp/valid.pth", b"")),
    ("text", content("exp/valid.pth", b"hello")),
    ("cut short", cut_short),
    ("flipped", flip_a_byte),
):
    add(MODEL, "valid.pth: .*copy it again", name=f"model {name}", change=change)
for commands, name, said, change in (
    ("prune measure", "no weight", W_1, weights(lambda s: s.pop(W_1))),
    ("prune", "no gate", f"{GATE} is missing", weights(lambda s: s.pop(GATE))),
    ("prune", "not frozen", "pth: .*frozen", first_value("control.frozen", 0.0)),
    ("prune", "half frozen", "pth: averages", first_value("control.frozen", 0.5)),
):
    add(commands, said, name=name, change=change)
for name in ("gate.logits", "w_1.weight", "running_var", "ctc_lo", "decoder.embed"):
    for value in (NAN, INF):
        change = first_value(name, value)
        said = f"valid.pth: .*{name}"
        add("prune", said, name=f"{value} in {name}", change=change)

# Options
TARGET = "--target_reduction"
for value in ("0", "1", "54", "-1", "nan"):
    add("prune sweep", f"{TARGET} {value}", f"{TARGET} {value}")
add("prune sweep", "target_reduction=0.99.* more than", f"{TARGET} 0.99")
for criterion, value, said in (
    ("random", "seed=x", "--criterion.*seed=x"),
    ("random", "seed=1.5", "seed=1.5"),
    ("random", "nope=1", "nope"),
    ("random", "locations=[ffn,nope]", "unknown location 'nope'; known are"),
    ("random", "locations=5", "locations"),
    ("random", "locations=[]", "more than these locations can give"),
    ("magnitude", "norm=0", "norm=0: must be 1 or 2"),
    ("magnitude", "norm=[1]", r"norm=\[1\]: must be 1 or 2"),
    ("magnitude", "norm=l2", "norm=l2: must be 1 or 2"),
    ("taylor", "batches=0", "batches=0: must be a whole number of at least 1"),
    ("taylor", "seed=-1", "--criterion.*seed=-1"),
    ("taylor", "speed=3", "unexpected keyword argument 'speed'"),
    ("taylor", "data=5", "--criterion.*data=.*: 5 is not a list of PATH"),
    ("taylor", "data=[no/wav.scp]", "is not PATH,NAME,TYPE"),
    ("taylor", "data=[[no/wav.scp,speech,sound],[a,text,text]]", "no/wav.scp"),
    ("taylor", "data=[[{r}/exp/wav.scp,speech,sound]]", "read as speech and text"),
    ("taylor", "data=x", "'x' is not a list of PATH,NAME,TYPE"),
    ("taylor", "norm_by_group=3", "norm_by_group=3: must be true or false"),
):
    asked = f"--criterion {criterion} {TARGET} 0.2 --criterion_conf {value}"
    add("prune", said, asked)
for option, values in (
    ("--utterances", ("0", "-1")),
    ("--tolerance", ("-1", "0", "nan", "inf")),
    ("--cost_frames", ("0", "-1")),
    ("--multiple_of", ("0", "-1")),
    ("--repair_utterances", ("0", "-1")),
):
    for value in values:
        add("prune", f"{option} {value}", f"{option} {value}")
add("prune", "cost_frames=1: .* 7 frames", "--cost macs --cost_frames 1")
for value in ("nope", "abs_task", "../asr", "", "asr.x"):
    add("prune measure", f"--task '?{re.escape(value)}", f"--task {value!r}")
for value in ("lm", "diar", "tts"):
    add("prune measure", "--task", f"--task {value}")
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
    add("prune export report", said, f"--output_dir {value!r}")

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
    add("prune", said, f"--data {value}")
for name, change in (
    ("empty scp", content("audio.scp", b"")),
    ("no path", content("audio.scp", b"u\n")),
    ("no such file", content("audio.scp", b"u nowhere.wav\n")),
    ("not UTF-8", content("audio.scp", "é x.wav\n".encode("latin1"))),
    ("too short", audio(np.zeros(50))),
    ("empty audio", audio(np.zeros(0))),
    ("NaN", audio(np.full(16000, NAN))),
):
    read = "--data {r}/audio.scp,speech,sound"
    add("prune", "audio.scp", read, f"audio {name}", change=change)

repair = "--repair true --criterion random --target_reduction 0.2"
read = f"{repair} --data {{r}}/audio.scp,speech,sound"
change = audio(np.full(16000, 0.1))
add("prune", "--repair true: 2 utterances .* the data have 1", read, change=change)
change = config(encoder_conf__ctc_trim=True)  # not an option of every release
add("prune", "ctc_trim", repair, change=change)

# Widths in the config of a pruned model, edited by hand
WIDTHS = dict(
    ffn=1, query=[1] * 4, value=[1] * 4, ffn_macaron=1, conv_input="0", conv_channel=2
)


def add_compact(commands: str, said: str, **options: Any) -> None:
    """Enter a fault of an option in the compact encoder_conf."""
    change = config("compact", **{f"encoder_conf__{k}": v for k, v in options.items()})
    add(commands, said, name=f"{options}", change=change, experiment="compact")


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
    add_compact("measure export", said, widths=[{**WIDTHS, entry: value}] * 2)
for value, said in (
    (None, "widths"),
    ("abc", "widths"),
    ([], "widths"),
    ([WIDTHS], "has 1 entries but num_blocks is 2"),
    ([1, 2], "widths"),
    ([WIDTHS, dict(ffn=1)], r"widths\[1\] has .* needs "),
    ([WIDTHS, {**WIDTHS, "query": [1]}], r"widths\[1\].query=.* must be a list of 4"),
):
    add_compact("measure", said, widths=value)
for value in ([-1, 3], [3], "ab", [1, 2, 3], [None, 2]):
    add_compact("measure", "subsampling", subsampling=value)

# One command each
add("export", "config.yaml: .*bin.prune|adaprune prune", name="a model with gates")
nothing = "--onnx false --int8 false"
add("export", nothing, nothing, experiment="compact")
for value in ("none", "exp/config.yaml"):
    for option in ("--exp", "--pruned"):
        add("report", f"{value}/config.yaml: ", f"{option} {{r}}/{value}")
for value in ("none.json", "exp/config.yaml", "compact/report.json"):
    add("report", f"{value}: ", f"--sweep {{r}}/{value}")
add("report", "none/export.json: ", "--export {r}/none")
for data in (b"{", b"[1]"):
    change = content("compact/report.json", data)
    add("report", "report.json: ", name=f"report.json {data.decode()}", change=change)
for options, said in (
    ("--ngpu 1", "--ngpu 1: .*no GPU"),
    ("--batch_size 0", "--batch_size 0"),
    ("--references {r}/exp/text", "decoding needs --inference_config"),
    ("--inference_config {r}/none.yaml", "none.yaml: no such file"),
    ("--model_file {r}/none.pth", "none.pth: "),
    ("--data {r}/exp/wav.scp,speech,sound", "cannot be read as speech and text"),
):
    add("sweep", said, options)
texts = "--data {r}/exp/wav.scp,speech,sound --data {r}/none,text,text"
add("sweep", "none", texts)
texts = texts.replace("none", "one")
add("sweep", "one: .*utt1", texts, change=content("one", b"utt0 C\n"))

# Training
for conf, said in (
    (dict(nope=1), "no option nope; known are"),
    (dict(target_reduction="half"), "target_reduction='half'"),
    (dict(target_reduction=0.99), "target_reduction=99.0% is above what the"),
    (dict(locations=["ffn_macaron"]), "'ffn_macaron' cannot be pruned in this"),
    (dict(initial_logit=INF), "initial_logit=inf"),
    (dict(cost="macs", cost_frames=3), "cost_frames=3"),
    (dict(multiple_of=0), "multiple_of must be positive: 0"),
    (dict(multiple_of=-1), "multiple_of must be positive: -1"),
    (dict(multiple_of="eight"), "multiple_of='eight' is not a number"),
    (dict(multiple_of=1.5), "multiple_of=1.5 is not a whole number"),
):
    add("train", said, shlex.quote(yaml.safe_dump(conf)), name=f"{conf}")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A trained and a pruned experiment."""
    root = tmp_path_factory.mktemp("faults")
    pruned_experiment(root)
    return root


def command_line(command: str, root: Path, experiment: str) -> list[str]:
    """A command line with nothing wrong in it."""
    output = ["--output_dir", f"{root}/out"]
    if command == "report":
        pair = ["--exp", f"{root}/exp", "--pruned", f"{root}/compact"]
        return [*pair, *output, "--measure_time", "false"]
    model = model_options(root / experiment)
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
