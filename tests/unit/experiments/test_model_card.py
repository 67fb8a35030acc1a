"""The README that is packed with a model."""

from __future__ import annotations

from espnet_adaptive_dropout.experiments.model_card import model_card, write_model_card

REPORT = """# Pruning report

54.00% of the encoder's parameters removed (asked for 54.00%).

## Units kept, by block and location
"""
COMPACT = "espnet_adaptive_dropout.compact_conformer"


def test_plugin_is_named_where_it_is_needed():
    text = model_card({"encoder": COMPACT}, "# RESULTS\n", "m.zip")
    assert "pip install espnet-adaptive-dropout" in text
    assert "import espnet_adaptive_dropout" in text
    assert f"--encoder must be one of ... --encoder {COMPACT}" in text
    assert 'from_pretrained("m.zip")' in text
    assert text.endswith("## RESULTS\n")


def test_sizes_certificate_and_plan_of_a_pruned_model():
    text = model_card({"encoder": COMPACT}, "# RESULTS\n", "m.zip", REPORT)
    assert text.count("\n# ") == 1  # the model's name is the only title
    assert "## Pruning report" in text and "### Units kept" in text
    assert "(asked for 54.00%)" in text
    for name in ("plan.yaml", "certificate.json", "report.json"):
        assert name in text
    assert text.index("Pruning report") < text.index("RESULTS")


def test_stock_model_needs_espnet_only():
    text = model_card({"encoder": "conformer"}, "", "m.zip")
    assert "adaptive" not in text and "plan.yaml" not in text
    assert 'from_pretrained("m.zip")' in text


def test_the_class_is_that_of_the_task():
    config = {"encoder": COMPACT, "preprocessor": "s2t"}
    assert "espnet2.bin.s2t_inference import" in model_card(config, "", "m.zip")
    config["preprocessor"] = "default"
    assert "espnet2.bin.asr_inference import" in model_card(config, "", "m.zip")


def test_a_users_readme_is_left_alone(tmp_path):
    (tmp_path / "config.yaml").write_text("encoder: conformer\n")
    path = write_model_card(tmp_path, "m.zip")
    assert path.read_text().startswith("---\nlibrary_name: espnet")
    (tmp_path / "RESULTS.md").write_text("# RESULTS\n")
    write_model_card(tmp_path, "m.zip")
    assert "## RESULTS" in path.read_text()
    (tmp_path / "compress.md").write_text("# Before and after\n")
    write_model_card(tmp_path, "m.zip")
    text = path.read_text()
    assert text.index("## Before and after") < text.index("## RESULTS")
    path.write_text("mine")
    write_model_card(tmp_path, "m.zip")
    assert path.read_text() == "mine"
