"""The errors that ESPnet logs in validation, as people read them."""

from __future__ import annotations

from typing import Callable, Dict, Tuple

# ESPnet's name -> label with unit, and what makes of ESPnet's number one in it.
# Best first: what comes earlier says more about recognition.
VALIDATION_ERRORS: Dict[str, Tuple[str, Callable]] = {
    "wer": ("WER [%]", lambda x: 100.0 * x),
    "cer": ("CER [%]", lambda x: 100.0 * x),
    "cer_ctc": ("CER of greedy CTC [%]", lambda x: 100.0 * x),
    "acc": ("token error, 1 − accuracy [%]", lambda x: 100.0 * (1.0 - x)),
    "loss": ("loss [nats]", lambda x: x),
}
