"""Describes the interface of ESPnet's asr.sh: options, stages, names, files.

    python tests/support/describe_asr_sh.py CHECKOUT --run RECIPE \
        > tests/recipe/asr_sh_interface.json

Names are observed, not read: the script runs with all stages left out, and what its
variables hold at the end is noted. RECIPE is a recipe directory in which it has run
stages 2-14; the files that it made are listed there. Nothing of its text is kept but
option names, defaults and the titles of stages.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# What later stages, other tools and users find results by
VARIABLES = (
    "train_set test_sets eval_valid_set data_feats token_list bpemodel "
    "bpe_train_text lm_train_text lm_dev_text lm_test_text asr_stats_dir asr_exp "
    "lm_stats_dir lm_exp ngram_exp inference_tag packed_model skip_stages"
).split()

SETS = {"train_set": "train", "valid_set": "dev", "test_sets": "one two"}
# Options of each case beside SETS
CASES: dict[str, dict[str, str]] = {
    "plain": {},
    "language": {"lang": "en", "nbpe": "500", "bpemode": "bpe"},
    "speeds": {"speed_perturb_factors": "0.9 1.0 1.1", "lang": "en"},
    "characters": {"token_type": "char", "lang": "en"},
    "words": {"token_type": "word", "use_lm": "false"},
    "configs": {
        "asr_config": "conf/tuning/train_a.b.yaml",
        "lm_config": "conf/train_lm.yaml",
        "inference_config": "conf/decode.yaml",
    },
    "arguments": {
        "asr_args": "--max_epoch 3 --encoder_conf a=1 --x conf/y|z",
        "lm_args": "--optim_conf lr=0.1",
        "inference_args": "--beam_size 3 --ctc_weight=0.3",
    },
    "models": {
        "inference_asr_model": "valid.loss.best.pth",
        "inference_lm": "sub/17epoch.pth",
        "use_ngram": "true",
    },
    "tags": {"asr_tag": "x", "lm_tag": "y", "inference_tag": "z"},
    "directories": {"asr_exp": "e/a", "lm_exp": "e/l", "asr_stats_dir": "e/s"},
    "elsewhere": {"dumpdir": "d", "expdir": "e", "ngram_exp": "n"},
    "valid tested": {"test_sets": "one dev one"},
    "only valid": {"test_sets": "", "eval_valid_set": "true"},
    "no data": {"skip_data_prep": "true", "use_lm": "false"},
    "no training": {"skip_train": "true", "use_ngram": "true"},
    "pack": {"skip_eval": "true", "skip_packing": "false", "skip_upload_hf": "false"},
}

_NOTE = 'note() { for name in %s; do printf "%%s=%%s\\0" "$name" "${!name-}"; done; }\n'


def command_line(options: dict[str, str]) -> list[str]:
    """Return options as words."""
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def parse_notes(text: bytes) -> dict[str, str]:
    """Return what ``note`` wrote."""
    pairs = [item.split("=", 1) for item in text.decode().split("\0") if item]
    return {name: value for name, value in pairs}


def plain_names(values: dict[str, str]) -> dict[str, str]:
    """Return values with lists in one form: spaces single, stages sorted."""
    out = {name: " ".join(value.split()) for name, value in values.items()}
    if "skip_stages" in out:
        stages = sorted(set(out["skip_stages"].split()), key=int)
        out["skip_stages"] = " ".join(stages)
    return out


class Checkout:
    """ESPnet's sources, and a directory in which asr.sh runs without doing anything."""

    def __init__(self, root: Path, work: Path) -> None:
        self.template = root / "egs2/TEMPLATE/asr1"
        self.text = (self.template / "asr.sh").read_text(encoding="utf-8")
        # At the root of newer releases
        marker = root / "version.txt"
        marker = marker if marker.exists() else root / "espnet/version.txt"
        self.version = marker.read_text().strip()
        self.work = work
        for name in ("asr.sh", "utils", "scripts", "pyscripts"):
            (work / name).symlink_to(self.template / name)
        (work / "cmd.sh").write_text("")

    def note(self, hook: str, names: list[str], options: dict) -> dict[str, str]:
        """Run asr.sh, whose path.sh does ``hook``; return some variables' values."""
        notes = self.work / "notes"
        code = (_NOTE % " ".join(names)) + hook.format(notes=notes)
        (self.work / "path.sh").write_text(code)
        subprocess.run(
            ["bash", "asr.sh", *command_line(options)],
            cwd=self.work,
            env={**os.environ, "PATH": f"{self.work}/utils:{os.environ['PATH']}"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return parse_notes(notes.read_bytes())

    def options(self) -> dict[str, str]:
        """Return every option's default."""
        head = self.text.split("help_message=")[0]
        names = re.findall(r"^([a-z][a-z0-9_]*)=", head, re.M)
        return self.note("note > {notes}; exit 0\n", names, {})

    def stages(self) -> dict[str, str]:
        """Return the titles of the stages."""
        titles: dict[str, str] = {}
        for number, title in re.findall(r'"Stage (\d+): ([\w ./-]+)', self.text):
            titles.setdefault(number, re.sub(r"( from| for data/)? *$", "", title))
        return titles

    def names(self, case: dict[str, str]) -> dict[str, str]:
        """Return directories and the like for a case's options."""
        options = {**SETS, **case, "stage": "100"}
        hook = "trap 'note > {notes}' EXIT\n"
        return plain_names(self.note(hook, VARIABLES, options))


# Audio, pictures, hidden files, other jobs' than the first, other test sets
_PASSING = re.compile(
    r"/\.|\.(flac|png|zip)$|tfevents|/(stats|output|asr_inference|format)\.([2-9]|1\d)"
    r"|\.([2-9]|1\d)\.(scp|log)$|\.tmp|/test_other/"
)
# What depends on settings of the recipe
_NAMED = (
    (re.compile(r"/\d+epoch"), "/Nepoch"),
    (re.compile(r"(bpe|unigram)\d+"), r"\1N"),
    (re.compile(r"^exp/asr_train_[^/]*?(_compact)?/"), r"exp/asr_TAG\1/"),
)


def files_of(recipe: Path) -> list[str]:
    """Return the files that stages 2-14 made, one of each kind.

    The data directories, which local/data.sh makes, are left out.
    """
    found = set()
    for top in ("data", "dump", "exp"):
        for path in (recipe / top).rglob("*"):
            name = path.relative_to(recipe).as_posix()
            if not path.is_file() or _PASSING.search(name):
                continue
            if top == "data" and "token_list" not in name:
                continue
            for pattern, text in _NAMED:
                name = pattern.sub(text, name)
            found.add(name)
    return sorted(found)


def describe(root: Path, recipe: Path | None) -> dict:
    """Return the description of a checkout's asr.sh.

    Args:
        root: The checkout.
        recipe: A recipe directory in which it has run, or None.

    Returns:
        ``espnet_version``; ``stages``, titles by number; ``options``, defaults by
        name; ``names``, variables by case, of the cases after the first only what
        differs from it; ``files``, paths.
    """
    with tempfile.TemporaryDirectory() as work:
        checkout = Checkout(root.resolve(), Path(work))
        plain = checkout.names(CASES["plain"])
        names = {"plain": plain}
        for case, options in list(CASES.items())[1:]:
            found = checkout.names(options)
            names[case] = {key: found[key] for key in found if found[key] != plain[key]}
        return {
            "espnet_version": checkout.version,
            "stages": checkout.stages(),
            "options": checkout.options(),
            "names": names,
            "files": files_of(recipe) if recipe else [],
        }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--run", type=Path, help="recipe directory after stages 2-14")
    args = parser.parse_args()
    json.dump(describe(args.checkout, args.run), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
