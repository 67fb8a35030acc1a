"""The training configs come in pairs that differ by the plugin only."""

from __future__ import annotations

import pytest
import yaml
from conftest import RECIPE


@pytest.mark.parametrize("size", ["smoke", "toy", "100h", "960h"])
def test_pair(size):
    stock, ours = (
        yaml.safe_load((RECIPE / "conf" / f"train_asr_{kind}_{size}.yaml").read_text())
        for kind in ("conformer", "adaptive_dropout")
    )
    assert ours.pop("encoder") == "adaptive_dropout_conformer"
    assert ours.pop("model") == "adaptive_dropout"
    plugin = ours["encoder_conf"].pop("adaptive_dropout_conf")
    assert plugin["target_reduction"] == 0.54
    phase, name, mode = ours["best_model_criterion"][0]
    ours["best_model_criterion"][0] = [phase, name.replace("final_", ""), mode]
    assert stock.pop("encoder") == "conformer"
    assert ours == stock
