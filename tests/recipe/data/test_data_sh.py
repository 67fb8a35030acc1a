"""Stage 1 as the stage driver calls it."""

import os
import shutil
import subprocess
import sys

import pytest
from support import tiny_corpus
from support.flaky_server import FlakyServer
from support.paths import RECIPE, TESTS

# Lays a corpus out as synthesize_corpus.py does, without the speech synthesis.
SYNTHESIS = f"""\
import sys
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
from support import tiny_corpus
size, output, nj = (
    sys.argv[sys.argv.index(option) + 1] for option in ("--size", "--output", "--nj")
)
print("synthesis", size, nj)
root = Path(output) / "LibriSpeech"
if not root.exists():
    tiny_corpus.write_tree(root, "train-clean-100", "dev-clean", "test-clean")
"""

# What ESPnet's utils/parse_options.sh does, in short
PARSE_OPTIONS = """\
while [ $# -gt 0 ]; do
    case $1 in
        --help) echo "${help_message}"; exit 0 ;;
        --*) [ -v "${1#--}" ] || { echo "invalid option $1" >&2; exit 1; } ;;
        *) break ;;
    esac
    printf -v "${1#--}" %s "$2"
    shift 2
done
"""


@pytest.fixture
def recipe(tmp_path):
    """A copy of the recipe's scripts whose path.sh means this Python."""
    root = tmp_path / "asr1"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(RECIPE / "local", root / "local", ignore=ignore)
    (root / "local/corpora/synthesize_corpus.py").write_text(SYNTHESIS)
    (root / "utils").mkdir()
    (root / "utils/parse_options.sh").write_text(PARSE_OPTIONS)
    (root / "path.sh").write_text(
        f'python3() {{ "{sys.executable}" "$@"; }}\nexport LC_ALL=C PYTHONUTF8=1\n'
    )
    return root


def run(recipe, *options, **variables):
    return subprocess.run(
        ["local/data.sh", *options],
        cwd=recipe,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def sets(recipe):
    return sorted(p.name for p in (recipe / "data").iterdir() if p.is_dir())


def one_error(done):
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_toy_is_the_default(recipe):
    done = run(recipe, "--nj", "3")
    assert done.returncode == 0, done.stderr
    assert "synthesis toy 3" in done.stdout
    assert sets(recipe) == [
        "dev",
        "dev_clean",
        "test_clean",
        "train",
        "train_clean_100",
    ]
    assert (recipe / "data/corpus.txt").read_text().startswith("toy\n")
    wav = (recipe / "data/train/wav.scp").read_text().split()[1]
    assert wav.startswith(f"{recipe}/downloads/toy/LibriSpeech/train-clean-100/")


def test_another_corpus_is_refused_before_any_work(recipe):
    (recipe / "data").mkdir()
    (recipe / "data/corpus.txt").write_text("smoke\n")
    error = one_error(run(recipe, "--corpus", "toy"))
    assert "data holds the corpus smoke" in error
    assert "remove data" in error
    assert not (recipe / "downloads").exists()


def test_corpus_dir_is_used_in_place(recipe, tmp_path):
    tiny_corpus.write_tree(tmp_path / "mine")
    before = sorted((tmp_path / "mine").rglob("*"))
    done = run(recipe, "--corpus_dir", str(tmp_path / "mine"))
    assert done.returncode == 0, done.stderr
    assert {"train", "dev", "test_clean", "test_other"} < set(sets(recipe))
    assert str(tmp_path / "mine") in (recipe / "data/train/wav.scp").read_text()
    assert sorted((tmp_path / "mine").rglob("*")) == before
    assert not (recipe / "downloads").exists()


def test_corpus_dir_with_an_official_name(recipe, tmp_path):
    tiny_corpus.write_tree(tmp_path / "mine" / "LibriSpeech")
    words = ("--corpus", "librispeech", "--corpus_dir", str(tmp_path / "mine"))
    done = run(recipe, *words)
    assert done.returncode == 0, done.stderr
    assert "train_960" in sets(recipe)
    assert "train" not in sets(recipe)


@pytest.mark.parametrize(
    ("corpus", "variable", "inner"),
    [
        ("librispeech_100", "LIBRISPEECH", "mine/LibriSpeech"),
        ("mini_librispeech", "MINI_LIBRISPEECH", "mine"),
    ],
)
def test_an_existing_copy_is_used_in_place(recipe, tmp_path, corpus, variable, inner):
    tiny_corpus.write_tree(tmp_path / inner)
    (recipe / "db.sh").write_text(f"{variable}={tmp_path}/mine\n")
    done = run(recipe, "--corpus", corpus)
    assert done.returncode == 0, done.stderr
    assert f"using {variable}={tmp_path}/mine" in done.stdout
    assert not (recipe / "downloads").exists()


def test_the_environment_goes_before_db_sh(recipe, tmp_path):
    tiny_corpus.write_tree(tmp_path / "mine" / "LibriSpeech")
    (recipe / "db.sh").write_text("LIBRISPEECH=downloads\n")
    place = f"{tmp_path}/mine"
    done = run(recipe, "--corpus", "librispeech_100", LIBRISPEECH=place)
    assert done.returncode == 0, done.stderr
    assert f"using LIBRISPEECH={place}" in done.stdout


def test_a_copy_that_is_not_there_is_an_error(recipe, tmp_path):
    place = f"{tmp_path}/typo"
    error = one_error(run(recipe, "--corpus", "librispeech", LIBRISPEECH=place))
    assert f"LIBRISPEECH={place}: no such directory" in error


@pytest.mark.parametrize("place", [None, "copy"])
def test_download(recipe, tmp_path, place):
    """To --downloads, or to the place for the corpus, which is used then."""
    root = recipe / (place or "elsewhere/mini_librispeech")
    # ESPnet's db.sh has this until the user changes it.
    variables = {"MINI_LIBRISPEECH": str(root) if place else "downloads"}
    if place:
        root.mkdir()
    with FlakyServer() as server:
        archives = {
            f"{subset}.tar.gz": tiny_corpus.pack(tmp_path / subset, subset)
            for subset in ("train-clean-5", "dev-clean-2")
        }
        archives["md5sum.txt"] = tiny_corpus.md5sums(archives)
        server.files = {f"/31/{name}": data for name, data in archives.items()}
        done = run(
            recipe,
            *("--corpus", "mini_librispeech", "--data_url", f"{server.url}/31"),
            *("--downloads", "elsewhere", "--remove_archives", "true"),
            **variables,
        )
    assert done.returncode == 0, done.stderr
    assert sets(recipe) == ["dev_clean_2", "train_clean_5"]
    assert [p.name for p in root.iterdir()] == ["LibriSpeech"]
    if place:
        again = run(recipe, "--corpus", "mini_librispeech", **variables)
        assert again.returncode == 0, again.stderr
        assert f"using MINI_LIBRISPEECH={root}" in again.stdout


def test_wrong_values_are_refused_at_once(recipe):
    error = one_error(run(recipe, "--corpus_dir", "nowhere"))
    assert "nowhere: no such directory" in error
    error = one_error(run(recipe, "--corpus", "libri"))
    assert "unknown --corpus 'libri': toy, smoke, medium, librispeech," in error
    assert not (recipe / "data").exists()


def test_stray_argument_and_missing_scripts(recipe):
    assert "'toy'" in one_error(run(recipe, "toy"))
    shutil.rmtree(recipe / "utils")
    assert "./run.sh --stop_stage 1" in one_error(run(recipe))
    assert not (recipe / "data").exists()


def test_help_names_every_option(recipe):
    done = run(recipe, "--help")
    assert done.returncode == 0
    for option in ("corpus", "corpus_dir", "data_url", "downloads", "nj"):
        assert f"--{option}" in done.stdout
