"""A pruned model on its way from one user to another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.experiments import make_experiment, model_options
from support.model_services import ModelHub, Zenodo
from support.paths import RECIPE

from espnet_adaptive_dropout.bin import prune
from espnet_adaptive_dropout.plugin.packing import with_pruning_files

UPLOAD = RECIPE / "local" / "upload.sh"
NAME = "me/compact"
# What the model card tells a stranger to do.
LOAD = """
import sys
import espnet_adaptive_dropout
import numpy
from espnet2.bin.asr_inference import Speech2Text

samples = numpy.random.default_rng(0).normal(0, 0.1, 16000)
for tag in sys.argv[1:]:
    recognise = Speech2Text.from_pretrained(
        tag, beam_size=2, ctc_weight=1.0, maxlenratio=-3
    )
    print("hypothesis:", recognise(samples)[0][0])
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A recipe directory with a pruned experiment and its zip, as stage 14 leaves."""
    from espnet2.bin import pack

    root = tmp_path_factory.mktemp("recipe")
    here = os.getcwd()
    os.chdir(root)
    try:
        os.makedirs("data")
        make_experiment(root / "exp" / "asr", target_reduction=0.4)
        options = model_options(Path("exp/asr"))
        prune.main([*options, "--output_dir", "exp/asr_compact"])
        command = ["asr", "--asr_train_config", "exp/asr_compact/config.yaml"]
        command += ["--asr_model_file", "exp/asr_compact/valid.pth"]
        pack.main(with_pruning_files([*command, "--outpath", "compact.zip"]))
    finally:
        os.chdir(here)
    shutil.copy(root / "exp/asr_compact/README.md", root)
    return root / "compact.zip"


def environment(home, **changes):
    dropped = ("HF_", "HUGGING", "ESPNET")
    env = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return {
        **env,
        **dict(OMP_NUM_THREADS="1", HOME=str(home), HF_HOME=str(home / "hf")),
        # The stand-in has large files the older way.
        **dict(HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1"),
        **changes,
    }


def upload_to_zenodo(zenodo, packed, monkeypatch):
    """Run ``espnet_model_zoo_upload``, whose address is fixed."""
    from espnet_model_zoo import zenodo_upload

    initialise = zenodo_upload.Zenodo.__init__

    def here(self, *args, **options):
        initialise(self, *args, **options)
        self.zenodo_url = zenodo.url

    monkeypatch.setattr(zenodo_upload.Zenodo, "__init__", here)
    zenodo_upload.main(
        [
            *("--access_token", "secret", "--title", "Compact", "--publish", "true"),
            *("--creator_name", "Me", "--file", str(packed)),
            *("--description_file", str(packed.parent / "README.md")),
        ]
    )


def upload_to_hub(hub, packed, home, token):
    """Run what stage 15 runs; the finished process."""
    env = environment(home, HF_ENDPOINT=hub.url, HF_TOKEN=token)
    env["PATH"] = f"{sys.prefix}/bin:{env['PATH']}"
    command = [UPLOAD, packed, NAME]
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_refused_upload(packed, tmp_path):
    with ModelHub("secret") as hub:
        done = upload_to_hub(hub, packed, tmp_path, "wrong")
    assert done.returncode == 1
    assert "Invalid user token" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        f"upload.sh: error: the upload to {NAME} failed; log in with 'hf auth login'"
    )
    assert hub.repositories == {}


def test_from_user_to_user(packed, tmp_path, monkeypatch, capsys):
    """Over the Hugging Face hub, over Zenodo, and as a file."""
    readme = (packed.parent / "README.md").read_bytes()
    with ModelHub("secret") as hub, Zenodo("secret") as zenodo:
        done = upload_to_hub(hub, packed, tmp_path, "secret")
        assert done.returncode == 0, done.stderr
        with zipfile.ZipFile(packed) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        card = readme.replace(b"compact.zip", NAME.encode())
        assert hub.repositories[NAME] == {**content, "README.md": card}
        metadata = hub.cards[-1]
        assert metadata["library_name"] == "espnet"

        upload_to_zenodo(zenodo, packed, monkeypatch)
        assert f"{zenodo.url}/records/1" in capsys.readouterr().out
        assert zenodo.published
        assert zenodo.metadata["title"] == "Compact"
        assert zenodo.metadata["description"] == readme.decode()
        assert zenodo.files == {"compact.zip": packed.read_bytes()}

        tags = [str(packed), NAME, f"{zenodo.url}/records/1/files/compact.zip"]
        done = subprocess.run(
            [sys.executable, "-c", LOAD, *tags],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path, HF_ENDPOINT=hub.url),
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert hub.unknown == zenodo.unknown == []
    said = [line for line in done.stdout.splitlines() if line.startswith("hypothesis:")]
    assert len(said) == 3 and len(set(said)) == 1
    assert len(said[0]) > len("hypothesis: ")


def test_without_the_plugin_the_message_names_it(packed, tmp_path, monkeypatch):
    from espnet2.bin.asr_inference import Speech2Text
    from espnet2.tasks.asr import encoder_choices

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in encoder_choices.classes if "adaptive" in name]:
        monkeypatch.delitem(encoder_choices.classes, name)
    monkeypatch.delitem(encoder_choices.classes, "compact_conformer")
    with pytest.raises(ValueError, match="--encoder must be one of") as refusal:
        Speech2Text.from_pretrained(str(packed))
    end = "--encoder espnet_adaptive_dropout.compact_conformer"
    assert str(refusal.value).endswith(end)
