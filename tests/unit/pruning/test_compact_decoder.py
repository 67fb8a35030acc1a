"""``adaprune prune --compact_decoder true``."""

import json

import pytest
import torch
import yaml
from espnet2.bin.asr_inference import Speech2Text
from support.decoders import SMALL, compact_decoder, memory_of, stock_decoder
from support.experiments import make_experiment, refused_prune, run_prune

from espnet_adaptive_dropout.experiments.encoder_entry import encoder_entry
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.certificate.decoder import certify_decoder


def recognised(directory, **options):
    recognise = Speech2Text(
        str(directory / "config.yaml"),
        str(directory / "valid.pth"),
        beam_size=4,
        nbest=4,
        maxlenratio=-6,
        lm_weight=0.0,
        **options,
    )
    generator = torch.Generator().manual_seed(0)
    audio = [0.1 * torch.randn(16000 + n, generator=generator) for n in (0, 9000)]
    return [[(text, float(h.score)) for text, _, _, h in recognise(a)] for a in audio]


def assert_same(found, expected):
    for results, others in zip(found, expected):
        assert results and [text for text, _ in results] == [text for text, _ in others]
        for (_, score), (_, other) in zip(results, others):
            assert abs(score - other) < 1e-4


def test_pruned_model_with_the_compact_decoder(experiment):
    plain = run_prune(experiment, output="plain")
    directory = run_prune(experiment, "--compact_decoder", "true")
    config = yaml.safe_load((directory / "config.yaml").read_text())
    assert config["decoder"] == "espnet_adaptive_dropout.compact_transformer"
    stock = yaml.safe_load((plain / "config.yaml").read_text())
    assert stock["decoder"] == "transformer"
    assert config["decoder_conf"] == stock["decoder_conf"]
    weights, others = (torch.load(d / "valid.pth") for d in (directory, plain))
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert_same(recognised(directory), recognised(plain))
    assert recognised(directory, quantize_asr_model=True)

    certificate = json.loads((directory / "certificate.json").read_text())
    assert certificate["decoder"]["holds"]
    assert certificate["decoder"]["largest_difference"] < 1e-12
    assert (
        "The compact decoder takes the place" in (directory / "report.md").read_text()
    )
    assert "decoder" not in json.loads((plain / "certificate.json").read_text())


def test_whole_model_with_the_compact_decoder(tmp_path):
    make_experiment(tmp_path / "exp", "conformer")
    options = ("--compact_decoder", "true", "--target_reduction", "0")
    directory = run_prune(tmp_path / "exp", *options)
    assert_same(recognised(directory), recognised(tmp_path / "exp"))
    report = json.loads((directory / "report.json").read_text())
    assert report["removed_parameters"] == 0
    assert report["certificate"]["decoder"]["holds"]


def test_what_is_refused(experiment):
    compact = ("--compact_decoder", "true")
    message = refused_prune(experiment, *compact, "--target_reduction", "0")
    assert "--target_reduction 0 is for models that were trained without" in message
    assert "must be between 0 and 1" in refused_prune(
        experiment, "--target_reduction", "0"
    )
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    with pytest.raises(
        ValueError, match="has 'decoder: rnn', and only transformer can"
    ):
        encoder_entry(config).with_compact_decoder({**config, "decoder": "rnn"})


def test_a_model_without_its_decoder_is_refused(tmp_path):
    make_experiment(tmp_path / "exp", ctc_weight=1.0)
    message = refused_prune(tmp_path / "exp", "--compact_decoder", "true")
    assert "the model uses no decoder (CTC only)" in message


class Model(torch.nn.Module):
    """A model whose encoder passes its input on."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder
        self.encoder = lambda features, lengths: (features, lengths, None)


def test_the_certificate_sees_another_decoder():
    stock = stock_decoder()
    inputs = Inputs(memory_of(14).view(2, 7, -1), torch.tensor([7, 5]))
    compact = compact_decoder(stock)
    assert certify_decoder(Model(stock), Model(compact), inputs, 1e-9).holds
    with torch.no_grad():
        compact.decoders[1].src_attn.linear_k.weight[0, 0] += 1e-2
    certificate = certify_decoder(Model(stock), Model(compact), inputs, 1e-9)
    assert not certificate.holds
    assert certificate.largest_difference > 1e-9
    with torch.no_grad():
        compact.output_layer.bias[0] = float("nan")
    assert not certify_decoder(Model(stock), Model(compact), inputs, 1e-9).holds
    assert SMALL["vocab_size"] == stock.output_layer.out_features
