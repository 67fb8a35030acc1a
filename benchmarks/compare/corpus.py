"""The recipe's prepared data: where they are, and ESPnet's options for them."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from pathlib import Path

from benchmarks.files import write_text
from espnet_adaptive_dropout.experiments.tables import read_table

# Corpus that synthesize_corpus.py makes for more test speech
TEST_CORPUS = "toy_test"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Data sets and statistics of a recipe directory; paths are relative to it.

    Args:
        recipe_dir: the recipe.
        train: training set in dump/raw.
        valid: validation set.
        tests: test sets.
        token_dir: holds tokens.txt and, for BPE, bpe.model.
        stats: holds the statistics of stage 10.
        train_shapes: holds the shape files of the training set; None: ``stats``.
    """

    recipe_dir: Path
    train: str
    valid: str
    tests: tuple[str, ...]
    token_dir: Path
    stats: Path
    train_shapes: Path | None = None

    @property
    def token_type(self) -> str:
        """Kind of the tokens: "bpe", "char" or "word"."""
        return (
            "bpe"
            if (self.recipe_dir / self.token_dir / "bpe.model").exists()
            else (self.token_dir.name)
        )

    def training_arguments(self) -> list[str]:
        """Data options of ESPnet's training command, as in stage 11 of the recipe."""
        bpe = self.token_dir / "bpe.model" if self.token_type == "bpe" else None
        options = [
            ("use_preprocessor", "true"),
            ("token_type", self.token_type),
            ("token_list", self.token_dir / "tokens.txt"),
            ("frontend_conf", "fs=16k"),
            ("normalize", "global_mvn"),
            ("normalize_conf", f"stats_file={self.stats}/train/feats_stats.npz"),
            ("fold_length", "80000"),
            ("fold_length", "150"),
        ] + ([("bpemodel", bpe)] if bpe else [])
        for part, name, shapes in (
            ("train", self.train, self.train_shapes or self.stats / "train"),
            ("valid", self.valid, self.stats / "valid"),
        ):
            data = f"dump/raw/{name}"
            options += [
                (f"{part}_data_path_and_name_and_type", f"{data}/wav.scp,speech,sound"),
                (f"{part}_data_path_and_name_and_type", f"{data}/text,text,text"),
                (f"{part}_shape_file", f"{shapes}/speech_shape"),
                (f"{part}_shape_file", f"{shapes}/text_shape.{self.token_type}"),
            ]
        return [word for name, value in options for word in (f"--{name}", str(value))]

    def scored_sets(self) -> dict[str, tuple[str, set[str]]]:
        """Sets to decode: name -> (directory below dump/raw, utterance ids).

        A validation set that was combined from data/<valid>_* is split again.
        """
        sets = {}
        names = [self.valid, *self.tests]
        for name in names:
            ids = set(read_table(self.recipe_dir / "dump/raw" / name / "text"))
            parts = sorted((self.recipe_dir / "data").glob(f"{name}_*/text"))
            split = {path.parent.name: set(read_table(path)) & ids for path in parts}
            if set().union(*split.values()) != ids:
                split = {name: ids}
            sets.update({part: (name, chosen) for part, chosen in split.items()})
        return sets


def prepare(recipe_dir: Path, train: str, valid: str, tests: list[str]) -> Corpus:
    """Find the recipe's data; run its stages 1 to 10 first if they have not been.

    Raises:
        ValueError: there is no recipe, a stage failed or the data is ambiguous.
    """
    recipe_dir = recipe_dir.resolve()
    if not (recipe_dir / "run.sh").exists():
        raise ValueError(f"--recipe_dir {recipe_dir}: no run.sh in it")
    done = "exp/asr_stats_*/valid/text_shape.*"
    if not list(recipe_dir.glob(done)):
        command = ["./run.sh", "--stage", "1", "--stop_stage", "10"]
        print(f"no data in {recipe_dir} yet: {' '.join(command)}", flush=True)
        if subprocess.run(command, cwd=recipe_dir).returncode:
            raise ValueError(f"{recipe_dir}/run.sh failed; see what it said above")
    token_dir = _only(recipe_dir, "data/*token_list/*/tokens.txt").parent
    stats = _only(recipe_dir, "exp/asr_stats_*/train/feats_stats.npz").parent.parent
    for name in (train, valid, *tests):
        if not (recipe_dir / "dump/raw" / name / "wav.scp").exists():
            raise ValueError(f"{recipe_dir}/dump/raw has no set {name}")
    return Corpus(recipe_dir, train, valid, tuple(tests), token_dir, stats)


def part_of(corpus: Corpus, count: int, directory: Path) -> Corpus:
    """The same corpus with some of its training utterances, drawn at random.

    ESPnet trains on what the shape files list.

    Args:
        corpus: the whole.
        count: number of utterances.
        directory: the shorter shape files are written here.

    Raises:
        ValueError: the training set does not have so many.
    """
    shapes = corpus.recipe_dir / corpus.stats / "train"
    names = ("speech_shape", f"text_shape.{corpus.token_type}")
    ids = sorted(read_table(shapes / names[0]))
    if not 0 < count <= len(ids):
        raise ValueError(f"--utterances {count}: must be from 1 to {len(ids)}")
    random.Random(0).shuffle(ids)
    chosen = set(ids[:count])
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        table = read_table(shapes / name).items()
        kept = [f"{key} {value}\n" for key, value in table if key in chosen]
        write_text(directory / name, "".join(kept))
    return dataclasses.replace(corpus, train_shapes=directory)


def add_test_speech(recipe_dir: Path, train: str) -> list[str]:
    """Synthesise two more hours like the toy corpus, unless they are there.

    The toy corpus's own test sets have some 800 words, in which a difference of a
    point is chance. Speakers, rooms and noise are new; sentences that are in the
    training set are left out.

    Args:
        recipe_dir: the recipe, with prepared data.
        train: name of its training set in dump/raw.

    Returns:
        Names of the new sets in dump/raw.

    Raises:
        ValueError: the synthesis failed.
    """
    corpus = recipe_dir.resolve() / "downloads" / TEST_CORPUS
    command = [
        sys.executable,
        "local/corpora/synthesize_corpus.py",
        "--size",
        TEST_CORPUS,
    ]
    command += ["--output", str(corpus)]
    if subprocess.run(command, cwd=recipe_dir).returncode:
        raise ValueError(f"{command[1]} in {recipe_dir} failed; see what it said above")
    known = set(read_table(recipe_dir / "dump/raw" / train / "text").values())
    names = []
    for subset in sorted((corpus / "LibriSpeech").glob("test-*")):
        names.append(f"test_more_{subset.name.split('-')[1]}")
        _write_set(recipe_dir / "dump/raw" / names[-1], subset, known)
    return names


def _write_set(directory: Path, subset: Path, known: set[str]) -> None:
    """wav.scp and text of a subset, which is all that scoring reads."""
    spoken = {}
    for path in subset.glob("*/*/*.trans.txt"):
        for name, sentence in read_table(path).items():
            if sentence not in known:
                spoken[name] = (path.parent / f"{name}.flac", sentence)
    rows = sorted(spoken.items())
    scp = "".join(f"{name} {audio}\n" for name, (audio, _) in rows)
    write_text(directory / "wav.scp", scp)
    text = "".join(f"{name} {sentence}\n" for name, (_, sentence) in rows)
    write_text(directory / "text", text)


def _only(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(directory)) for path in found)
        raise ValueError(
            f"{directory}: need exactly one {pattern}, found {names or 'none'}"
        )
    return found[0].relative_to(directory)
