"""Word and character error rates, with jiwer."""

from __future__ import annotations

from typing import Dict, List


def error_rates(
    references: Dict[str, str], hypotheses: Dict[str, str]
) -> Dict[str, float]:
    """Errors of all utterances together.

    Case is ignored, as ESPnet's scoring with sclite does; characters are counted
    with the spaces between words.

    Args:
        references: utterance -> text.
        hypotheses: utterance -> text, for the same utterances.

    Returns:
        ``wer`` and ``cer`` in per cent of the reference, ``utterances``, ``words``.

    Raises:
        ValueError: an utterance is in one of the two only, there is no word in the
            references, or jiwer is missing.
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
    words = sum(len(text.split()) for text in expected)
    if words == 0:
        raise ValueError("the references have no words")
    return {
        "wer": _rate(jiwer.process_words, expected, actual, str.split),
        "cer": _rate(jiwer.process_characters, expected, actual, list),
        "utterances": len(references),
        "words": words,
    }


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _rate(process, expected: List[str], actual: List[str], split) -> float:
    """Errors in per cent; jiwer refuses empty references, which count here too."""
    spoken = [pair for pair in zip(expected, actual) if pair[0]]
    silent = [hypothesis for text, hypothesis in zip(expected, actual) if not text]
    out = process([pair[0] for pair in spoken], [pair[1] for pair in spoken])
    errors = out.substitutions + out.deletions + out.insertions
    errors += sum(len(split(hypothesis)) for hypothesis in silent)
    total = out.hits + out.substitutions + out.deletions
    return 100.0 * errors / total
