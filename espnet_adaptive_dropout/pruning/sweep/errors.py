"""Word and character error rates, with jiwer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable


def error_rates(
    references: dict[str, str], hypotheses: dict[str, str]
) -> dict[str, float]:
    """Return the error rates over all utterances together.

    Returns:
        ``wer`` and ``cer`` in per cent of the reference, ``utterances``, ``words``.

    Raises:
        ValueError: an utterance has only a reference or only a hypothesis, the
            references have no words, or jiwer is missing.
    """
    counts = error_counts(references, hypotheses)
    if counts["words"] == 0:
        raise ValueError("the references have no words")
    return {
        "wer": 100.0 * counts["word_errors"] / counts["words"],
        "cer": 100.0 * counts["char_errors"] / counts["chars"],
        "utterances": len(references),
        "words": counts["words"],
    }


def error_counts(
    references: dict[str, str], hypotheses: dict[str, str]
) -> dict[str, int]:
    """Count words, characters and errors over all utterances.

    Case is ignored, as ESPnet's scoring with sclite does; characters are counted
    with the spaces between words.

    Args:
        references: utterance -> text.
        hypotheses: utterance -> text, for the same utterances.

    Returns:
        ``words`` and ``chars`` of the references, ``word_errors``, ``char_errors``.

    Raises:
        ValueError: an utterance has only a reference or only a hypothesis, or jiwer
            is missing.
    """
    try:
        import jiwer
    except ModuleNotFoundError:
        raise ValueError("scoring needs jiwer: pip install jiwer") from None
    odd = sorted(references.keys() ^ hypotheses.keys())
    if odd:
        raise ValueError(
            f"{len(odd)} utterances are in either the references or the speech only, "
            f"for example {odd[0]}"
        )
    expected = [_plain(references[name]) for name in references]
    actual = [_plain(hypotheses[name]) for name in references]
    return {
        "words": sum(len(text.split()) for text in expected),
        "word_errors": _errors(jiwer.process_words, expected, actual, str.split),
        "chars": sum(len(text) for text in expected),
        "char_errors": _errors(jiwer.process_characters, expected, actual, list),
    }


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _errors(
    process: Callable[[list[str], list[str]], Any],
    expected: list[str],
    actual: list[str],
    split: Callable[[str], Sequence[str]],
) -> int:
    """Count errors, also those in empty references, which jiwer refuses."""
    spoken = [pair for pair in zip(expected, actual) if pair[0]]
    silent = [hypothesis for text, hypothesis in zip(expected, actual) if not text]
    errors = sum(len(split(hypothesis)) for hypothesis in silent)
    if spoken:
        out = process([pair[0] for pair in spoken], [pair[1] for pair in spoken])
        errors += out.substitutions + out.deletions + out.insertions
    return errors
