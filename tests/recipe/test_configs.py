"""The training configs come in pairs that differ by the plugin only."""

from __future__ import annotations

import pytest
import yaml
from espnet2.bin import asr_train
from support.paths import RECIPE

from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig
from espnet_adaptive_dropout.plugin.earlier_training import epoch_ends
from espnet_adaptive_dropout.plugin.selection import selection_arguments

SIZES = ["smoke", "toy", "100h", "960h"]


@pytest.mark.parametrize("size", SIZES)
def test_checkpoints_to_average_have_the_final_size(size):
    path = RECIPE / "conf" / f"train_asr_adaptive_dropout_{size}.yaml"
    args = asr_train.get_parser().parse_args(["--config", str(path)])
    conf = AdaptiveDropoutConfig.from_dict(args.encoder_conf["adaptive_dropout_conf"])
    conf.total_steps = 1000
    ends = epoch_ends(args.max_epoch, conf.total_steps)
    assert selection_arguments(args, ends, conf) == []


@pytest.mark.parametrize("size", SIZES)
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
