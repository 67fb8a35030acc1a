"""The README that is packed with a model."""

from __future__ import annotations

from model_card import card

REPORT = """# Pruning report

54.00% of the encoder's parameters removed (asked for 54.00%).

## Units kept, by block and location
"""
COMPACT = "espnet_adaptive_dropout.compact_conformer"


def test_plugin_is_named_where_it_is_needed():
    text = card({"encoder": COMPACT}, "# RESULTS\n", "m.zip", "")
    assert "pip install espnet-adaptive-dropout" in text
    assert "import espnet_adaptive_dropout" in text
    assert f"--encoder must be one of ... --encoder {COMPACT}" in text
    assert 'from_pretrained("m.zip")' in text
    assert text.endswith("## RESULTS\n")


def test_sizes_certificate_and_plan_of_a_pruned_model():
    text = card({"encoder": COMPACT}, "# RESULTS\n", "m.zip", "me/m", REPORT)
    assert text.count("\n# ") == 1  # the model's name is the only title
    assert "## Pruning report" in text and "### Units kept" in text
    assert "(asked for 54.00%)" in text
    for name in ("plan.yaml", "certificate.json", "report.json"):
        assert name in text
    assert text.index("Pruning report") < text.index("RESULTS")


def test_stock_model_needs_espnet_only():
    text = card({"encoder": "conformer"}, "", "m.zip", "me/model")
    assert "adaptive" not in text and "plan.yaml" not in text
    assert 'from_pretrained("me/model")' in text
