"""Channels of the input layer that never fire."""

from __future__ import annotations

import pytest
import torch
from support.experiments import make_experiment, model_options

from benchmarks.models.silent import firing_channels, main
from espnet_adaptive_dropout import compat


@pytest.mark.parametrize("encoder", ["conformer", "adaptive_dropout_conformer"])
def test_a_channel_that_is_never_above_zero_is_counted(tmp_path, capsys, encoder):
    model = make_experiment(tmp_path, encoder)
    state = model.state_dict()
    for name in [*state]:
        if name.startswith("encoder.embed.conv."):
            state[name].abs_()
    state["encoder.embed.conv.0.bias"] += 1000.0
    state["encoder.embed.conv.2.bias"][3:5] = -1e9
    torch.save(state, tmp_path / "valid.pth")
    main([*model_options(tmp_path), "--data", str(tmp_path)])
    assert capsys.readouterr().out.splitlines() == [
        "subsampling_1: 0 of 16 channels never fire in 3 utterances",
        "subsampling_2: 2 of 16 channels never fire in 3 utterances",
    ]


def test_another_input_layer_is_refused():
    model = torch.nn.Module()
    model.encoder = compat.ConformerEncoder(20, output_size=8, input_layer="linear")
    with pytest.raises(ValueError, match="input layer does not have two conv"):
        firing_channels(model, [])
