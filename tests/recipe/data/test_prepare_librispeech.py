"""Kaldi data directories from trees in LibriSpeech's form."""

import hashlib
import shutil

import pytest
from prepare_librispeech import main
from support import tiny_corpus

FILES = ["spk2gender", "spk2utt", "text", "utt2spk", "wav.scp"]
# What ESPnet's own recipes (librispeech, librispeech_100, mini_librispeech) make of the
# tree of tiny_corpus: utterances, speakers, and the MD5 of the five files in a row with
# paths below the tree. Mini's wav.scp calls flac there; here it has the path alone.
IN_ESPNET = {
    "dev": (6, 3, "7fd27b1ad38b9526d4cb8e3b79157b78"),
    "dev_clean": (4, 2, "68680e433a3eb5d5bbb6f3d843682926"),
    "dev_clean_2": (2, 1, "9d589af959b124ba520cdb076ec582a3"),
    "dev_other": (2, 1, "46469242584d18de0cf5c2de48e4c5ff"),
    "test_clean": (2, 1, "bd55e111e8d6e78df7f04279da67e94e"),
    "test_other": (2, 1, "be611809985d0946cd91e6c88656ee53"),
    "train_960": (8, 4, "dc548f75df366f926fc2c881b0c0cd50"),
    "train_clean_100": (4, 2, "8dd04d9471a09bfb67c37bfd16b4d00e"),
    "train_clean_360": (2, 1, "ff8e31d4e80766d935ce35855484fde0"),
    "train_clean_5": (2, 1, "e326378c907d811367e9ac8a01882707"),
    "train_other_500": (2, 1, "1277864f372dec3513a056c24ca683ce"),
}
_TESTED = {"dev", "dev_clean", "dev_other", "test_clean", "test_other"}
SETS_IN_ESPNET = {
    "librispeech": _TESTED
    | {"train_960", "train_clean_100", "train_clean_360", "train_other_500"},
    "librispeech_100": _TESTED | {"train_clean_100"},
    "mini_librispeech": {"train_clean_5", "dev_clean_2"},
}


@pytest.fixture
def tree(tmp_path):
    return tiny_corpus.write_tree(tmp_path / "corpus")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def run(tree, data, corpus="custom", *more):
    words = ["--corpus_dir", str(tree), "--data_dir", str(data), "--corpus", corpus]
    return main([*words, *more])


def lines(path):
    return path.read_text().splitlines()


def snapshot(directory):
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in directory.rglob("*")
        if p.is_file()
    }


def test_files_of_a_data_directory(tree, data):
    assert run(tree, data) == 0
    dev = data / "dev_clean"
    assert sorted(p.name for p in dev.iterdir()) == FILES
    ids = [
        *("1272-128104-0000", "1272-128104-0001"),
        *("84-121123-0000", "84-121123-0001"),
    ]
    flacs = [str(next(tree.rglob(f"{i}.flac"))) for i in ids]
    assert lines(dev / "wav.scp") == [f"{i} {f}" for i, f in zip(ids, flacs)]
    assert lines(dev / "text")[1] == "1272-128104-0001 READER DEV-CLEAN SAYS 1"
    assert lines(dev / "utt2spk") == [f"{i} {i[:-5]}" for i in ids]
    assert lines(dev / "spk2utt")[0] == f"1272-128104 {ids[0]} {ids[1]}"
    assert lines(dev / "spk2gender") == ["1272-128104 m", "84-121123 f"]


@pytest.mark.parametrize("corpus", SETS_IN_ESPNET)
def test_data_are_those_of_espnets_recipes(tree, data, corpus):
    assert run(tree, data, corpus) == 0
    assert {p.name for p in data.iterdir() if p.is_dir()} == SETS_IN_ESPNET[corpus]
    for name in SETS_IN_ESPNET[corpus]:
        files = [(data / name / file).read_text() for file in FILES]
        digest = hashlib.md5("".join(files).replace(f"{tree}/", "").encode())
        speakers, utterances = files[1].splitlines(), files[3].splitlines()
        found = (len(utterances), len(speakers), digest.hexdigest())
        assert found == IN_ESPNET[name], name


def test_paths_are_absolute(tree, data, monkeypatch):
    monkeypatch.chdir(tree.parent)
    assert run(tree.name, data) == 0
    assert f" {tree}/dev-clean/" in (data / "dev_clean" / "wav.scp").read_text()


def test_names_of_the_sets(tree, data):
    assert run(tree, data, "toy") == 0
    subsets = {name.replace("-", "_") for name in tiny_corpus.READERS}
    assert {p.name for p in data.iterdir() if p.is_dir()} == {"train", "dev"} | subsets
    assert lines(data / "corpus.txt") == ["toy", str(tree)]


def test_summary_tells_counts(tree, data, capsys):
    assert run(tree, data, "librispeech_100") == 0
    output = capsys.readouterr().out
    assert f"{data}/dev: 6 utterances, 3 speakers, 0.0 min" in output


def test_a_second_run_changes_nothing(tree, data):
    assert run(tree, data) == 0
    before = snapshot(data)
    assert run(tree, data) == 0
    assert snapshot(data) == before


def test_a_second_run_takes_over_what_is_new(tree, data):
    assert run(tree, data) == 0
    (data / "train" / "notes").write_text("of the user\n")
    shutil.rmtree(tree / "dev-clean" / "84")
    assert run(tree, data) == 0
    assert len(lines(data / "dev_clean" / "text")) == 2
    assert (data / "train" / "notes").exists()  # that set has not changed


def test_a_changed_set_with_more_in_it_is_left_to_the_user(tree, data, capsys):
    assert run(tree, data) == 0
    shutil.rmtree(tree / "dev-clean" / "84")
    (data / "dev_clean" / "feats.scp").write_text("of the older set\n")
    before = snapshot(data)
    assert run(tree, data) == 1
    assert "but feats.scp in it was not made by this recipe" in capsys.readouterr().err
    assert snapshot(data) == before


@pytest.mark.parametrize("kind", ["link", "file", "directory"])
def test_what_the_user_put_under_the_name_of_a_set_stays(tree, data, tmp_path, kind):
    data.mkdir()
    target = data / "train"
    if kind == "link":
        target.symlink_to(tmp_path / "nowhere")
    elif kind == "file":
        target.write_text("of the user\n")
    else:
        (target / "of the user").mkdir(parents=True)
    assert run(tree, data) == 1
    assert [p.name for p in data.iterdir()] == ["train"]
    assert target.is_symlink() == (kind == "link")


def test_other_things_in_the_data_directory_stay(tree, data):
    (data / "en_token_list").mkdir(parents=True)
    (data / "en_token_list" / "tokens.txt").write_text("a\n")
    assert run(tree, data) == 0
    assert (data / "en_token_list" / "tokens.txt").exists()
    assert not list(data.glob(".*"))


def test_fault_in_the_last_subset_leaves_everything_as_it_was(tree, data, capsys):
    assert run(tree, data) == 0
    before = snapshot(data)
    shutil.rmtree(tree / "dev-clean" / "84")
    bad = next((tree / "train-other-500").rglob("*.flac"))
    bad.write_bytes(bad.read_bytes()[:-10])
    capsys.readouterr()
    assert run(tree, data) == 1
    assert snapshot(data) == before
    captured = capsys.readouterr()
    error = captured.err.strip().splitlines()[-1]
    assert "error:" in error
    assert str(bad) in error
    assert captured.out == ""


def test_fault_in_the_first_run_leaves_no_data_directory(tree, data):
    (tree / "SPEAKERS.TXT").unlink()
    assert run(tree, data) == 1
    assert not data.exists()


def test_full_disk_is_one_line_and_leaves_the_old_data(tree, data, monkeypatch, capsys):
    assert run(tree, data) == 0
    before = snapshot(data)

    def fail(*_, **__):
        raise OSError(28, "No space left on device", "spk2utt")

    shutil.rmtree(tree / "dev-clean" / "84")
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", fail)
        assert run(tree, data) == 1
    assert capsys.readouterr().err.count("No space left on device") == 1
    assert snapshot(data) == before


def test_another_corpus_is_refused(tree, data, capsys):
    assert run(tree, data, "toy") == 0
    before = snapshot(data)
    assert run(tree, data, "smoke") == 1
    assert run(tree, data, "smoke", "--check") == 1
    assert snapshot(data) == before
    for line in capsys.readouterr().err.strip().splitlines():
        assert "holds the corpus toy" in line
        assert "remove" in line
    assert run(tree, data, "toy", "--check") == 0


@pytest.mark.parametrize(
    ("corpus", "sets", "message"),
    [
        (
            "librispeech_100",
            "dev,test_foo",
            "no data set test_foo in librispeech_100",
        ),
        ("toy", "train,,train_960", "train_960 in toy; there are dev, dev_clean, "),
        ("librispeech", "train_960,dev,test_other", ""),
        ("medium", "train,dev,mine", ""),
    ],
)
def test_unknown_sets_are_refused_at_once(data, capsys, corpus, sets, message):
    (data / "mine").mkdir(parents=True)
    (data / "mine/wav.scp").write_text("a b\n")
    (data / "corpus.txt").write_text(f"{corpus}\n")
    words = ["--check", "--data_dir", str(data), "--corpus", corpus, "--sets", sets]
    assert main(words) == (1 if message else 0)
    assert message in capsys.readouterr().err


def test_sets_of_a_tree_that_is_there(tree, data, capsys):
    shutil.rmtree(tree / "test-other")
    assert run(tree, data, "custom", "--check", "--sets", "train,test_other") == 1
    error = capsys.readouterr().err
    assert (
        f"no data set test_other in custom of {tree}; there are dev, dev_clean,"
        in error
    )


def test_a_named_corpus_may_move_but_not_a_custom_one(tree, data, tmp_path, capsys):
    moved = shutil.copytree(tree, tmp_path / "moved")
    assert run(tree, data, "toy") == 0
    assert run(moved, data, "toy") == 0
    shutil.rmtree(data)
    assert run(tree, data) == 0
    assert run(moved, data) == 1
    assert f"not custom of {moved}" in capsys.readouterr().err


def test_data_of_unknown_origin_are_refused(tree, data, capsys):
    (data / "train").mkdir(parents=True)
    (data / "train" / "wav.scp").write_text("a b\n")
    assert run(tree, data) == 1
    assert "unknown corpus" in capsys.readouterr().err
    assert snapshot(data) == {"train/wav.scp": b"a b\n"}


def test_utterance_in_two_subsets_is_refused(tree, data, capsys):
    shutil.copytree(tree / "dev-clean" / "84", tree / "dev-other" / "84")
    assert run(tree, data) == 1
    error = capsys.readouterr().err
    assert "84-121123-0000 of dev-other is also in" in error
    assert not data.exists()
