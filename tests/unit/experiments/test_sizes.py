from __future__ import annotations

from espnet_adaptive_dropout.experiments.sizes import mac_length


def test_macs_are_of_speech_or_of_text():
    assert mac_length({"mac_seconds": 10.0}) == "10 s"
    assert mac_length({"mac_tokens": 100.0}) == "100 tokens"
