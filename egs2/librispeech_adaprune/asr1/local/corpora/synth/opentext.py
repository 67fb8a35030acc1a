"""Open text: a large book in the public domain, from a package on PyPI.

The American Standard Version of 1901 is in the public domain; ``pythonbible`` (MIT)
holds it as plain text: some 800,000 words, 13,000 different ones, about 80 h.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import numpy as np

from synth.errors import SynthError

TITLE = "The Bible, American Standard Version, 1901"
ORIGIN = (
    "The text is the American Standard Version of 1901, which is in the public domain."
)
FEWEST_WORDS, MOST_WORDS = 5, 40
_REPLACEMENTS = {"’": "'", "‘": "'", "Æ": "AE", "æ": "ae", "—": " ", "-": " "}
_CLAUSE_END = re.compile(r"(?<=[.;:?!])\s+")
_TRANSCRIPT = re.compile(r"[A-Z' ]+")


def passages(rng: np.random.Generator) -> Iterator[str]:
    """Yield passages of 5 to 40 words in random order, again and again.

    Args:
        rng: Random generator of the order.

    Raises:
        SynthError: The package with the text is not installed.
    """
    texts = sorted({text for verse in _verses() for text in cut(verse)})
    rng.shuffle(texts)
    while True:
        yield from texts


def cut(verse: str) -> list[str]:
    """Cut a verse into passages of transcript text at the ends of clauses.

    Passages that are too short, too long or have other characters than letters and
    apostrophes are left out.
    """
    parts, words = [], []
    for clause in _CLAUSE_END.split(verse):
        new = normalize(clause).split()
        if words and len(words) + len(new) > MOST_WORDS:
            parts.append(words)
            words = []
        words = words + new
    parts.append(words)
    return [
        " ".join(part)
        for part in parts
        if FEWEST_WORDS <= len(part) <= MOST_WORDS
        and _TRANSCRIPT.fullmatch(" ".join(part))
    ]


def normalize(text: str) -> str:
    """Convert printed text to the form of LibriSpeech's transcripts.

    Upper case, without verse numbers, brackets and punctuation; hyphens and dashes
    separate words; apostrophes stay inside words only.
    """
    text = re.sub(r"^\d+\. ", "", text.strip())
    for old, new in _REPLACEMENTS.items():
        text = text.replace(old, new)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c)).upper()
    words = re.sub(r"[\[\](){}.,;:?!\"“”]", " ", text).split()
    return " ".join(word for word in (w.strip("'") for w in words) if word)


def _verses() -> Iterator[str]:
    try:
        import pythonbible
    except ImportError:
        raise SynthError(
            "size medium needs the package with its text: pip install pythonbible"
        ) from None
    book = pythonbible.get_bible(
        pythonbible.Version.AMERICAN_STANDARD, "plain_text_readers"
    )
    return map(book.get_scripture, book.get_verse_ids())
