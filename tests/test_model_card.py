"""The README that is packed with a model."""

from __future__ import annotations

from model_card import card


def test_plugin_is_named_where_it_is_needed():
    text = card({"encoder": "compact_conformer"}, "# RESULTS\n", "m.zip", "")
    assert "pip install espnet-adaptive-dropout" in text
    assert "import espnet_adaptive_dropout" in text
    assert 'from_pretrained("m.zip")' in text
    assert text.endswith("# RESULTS\n")


def test_stock_model_needs_espnet_only():
    text = card({"encoder": "conformer"}, "", "m.zip", "me/model")
    assert "adaptive" not in text
    assert 'from_pretrained("me/model")' in text
