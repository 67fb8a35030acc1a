#!/usr/bin/env python3
"""Stage 5 for --token_type bpe: a SentencePiece model and the token list.

Writes train.txt, bpe.model, bpe.vocab and tokens.txt to --out. The token list has
the blank first, then the unknown symbol, the pieces, and <sos/eos> last, as ESPnet
needs it.
"""

from __future__ import annotations

import argparse
import re
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


def train(args: argparse.Namespace, corpus: Path, prefix: Path) -> list[str]:
    """Train the model; return its pieces without SentencePiece's own symbols."""
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus),
            model_prefix=str(prefix),
            vocab_size=args.pieces,
            model_type=args.mode,
            character_coverage=args.coverage,
            input_sentence_size=args.sentences,
            user_defined_symbols=user_symbols(args.symbols),
            minloglevel=1,
        )
    except (RuntimeError, OSError) as error:
        raise RecipeError(explain(error, args.pieces)) from None
    lines = Path(f"{prefix}.vocab").read_text(encoding="utf-8").splitlines()
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

    corpus, prefix = args.out / "train.txt", args.out / ".bpe.tmp"
    with replacing(corpus) as stream:
        for path in args.text:
            for line in read_table(path).values():
                stream.write(line + "\n")
    pieces = train(args, corpus, prefix)
    for suffix in ("vocab", "model"):
        Path(f"{prefix}.{suffix}").replace(args.out / f"bpe.{suffix}")
    with replacing(args.out / "tokens.txt") as stream:
        for token in [args.blank, args.oov, *pieces, args.sos_eos]:
            stream.write(token + "\n")
    print(f"{args.out / 'tokens.txt'}: {len(pieces) + 3} tokens")


if __name__ == "__main__":
    run_tool(main)
