#!/usr/bin/env python3
"""Stage 5 for --token_type bpe: a SentencePiece model and the token list.

Writes train.txt, bpe.model, bpe.vocab and tokens.txt to --out. The token list has
the blank first, then the unknown symbol, the pieces, and <sos/eos> last, as ESPnet
needs it.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from pathlib import Path

import sentencepiece
from common import RecipeError, read_table, replacing, run_tool

# SentencePiece's own <unk>, <s> and </s> come first in its vocabulary
_OWN_SYMBOLS = 3


def explain(error: Exception, pieces: int) -> str:
    """Return in one line why SentencePiece made no model."""
    message = " ".join(str(error).split())
    limit = re.search(r"(?:<=|to at most|smaller than or equal to) *(\d+)", message)
    if limit:
        return (
            f"--nbpe {pieces} is more than the text allows; "
            f"give --nbpe {limit[1]} or less"
        )
    return f"SentencePiece made no model of {pieces} pieces (--nbpe): {message}"


def user_symbols(given: str) -> list[str]:
    """Return the symbols of --symbols: comma-separated, or one a line in a file."""
    if given and Path(given).is_file():
        return Path(given).read_text(encoding="utf-8").split()
    return [symbol for symbol in given.split(",") if symbol]


def train(args: argparse.Namespace, symbols: list[str], prefix: Path) -> None:
    """Train the model on train.txt beside it, under the name that it shall have.

    Args:
        args: The command line.
        symbols: Symbols of the user's.
        prefix: Path without suffix, below the current directory.
    """
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=str(prefix.with_name("train.txt")),
            model_prefix=str(prefix),
            vocab_size=args.pieces,
            model_type=args.mode,
            character_coverage=args.coverage,
            input_sentence_size=args.sentences,
            user_defined_symbols=symbols,
            minloglevel=1,
        )
    except (RuntimeError, OSError) as error:
        raise RecipeError(explain(error, args.pieces)) from None


def train_aside(args: argparse.Namespace) -> list[str]:
    """Make bpe.model and bpe.vocab, which appear only when they are whole.

    The model keeps the file names that it was trained with. A copy of the directory's
    path inside a temporary one gives it the final names, and so the same bytes as
    ESPnet's stage 5.

    Returns:
        The pieces without SentencePiece's own symbols.
    """
    symbols, home, out = user_symbols(args.symbols), Path.cwd(), args.out.resolve()
    name = args.out.relative_to(args.out.anchor)
    with tempfile.TemporaryDirectory(dir=out, prefix=".bpe.") as scratch:
        inside = Path(scratch) / name
        inside.mkdir(parents=True)
        (inside / "train.txt").symlink_to(out / "train.txt")
        os.chdir(scratch)
        try:
            train(args, symbols, name / "bpe")
        finally:
            os.chdir(home)
        lines = (inside / "bpe.vocab").read_text(encoding="utf-8").splitlines()
        for suffix in ("vocab", "model"):
            (inside / f"bpe.{suffix}").replace(out / f"bpe.{suffix}")
    return [line.split("\t")[0] for line in lines[_OWN_SYMBOLS:]]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pieces", type=int, required=True)
    parser.add_argument("--mode", choices=["unigram", "bpe"], default="unigram")
    parser.add_argument("--coverage", type=float, default=1.0)
    parser.add_argument("--sentences", type=int, default=100_000_000)
    parser.add_argument("--symbols", default="")
    parser.add_argument("--blank", default="<blank>")
    parser.add_argument("--oov", default="<unk>")
    parser.add_argument("--sos_eos", default="<sos/eos>")
    args = parser.parse_args()

    with replacing(args.out / "train.txt") as stream:
        for path in args.text:
            for line in read_table(path).values():
                stream.write(line + "\n")
    pieces = train_aside(args)
    with replacing(args.out / "tokens.txt") as stream:
        for token in [args.blank, args.oov, *pieces, args.sos_eos]:
            stream.write(token + "\n")
    print(f"{args.out / 'tokens.txt'}: {len(pieces) + 3} tokens")


if __name__ == "__main__":
    run_tool(main)
