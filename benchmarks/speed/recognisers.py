"""Makes recognisers with an attention decoder, of random weights, in several forms."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import torch
from espnet2.bin.asr_inference import Speech2Text
from espnet2.tasks.asr import ASRTask

from benchmarks.speed.build import trained_like_scores
from espnet_adaptive_dropout.decoders.fast_ctc import fast_ctc
from espnet_adaptive_dropout.experiments.encoder_entry import COMPACT_DECODER
from espnet_adaptive_dropout.experiments.experiment import build_model
from espnet_adaptive_dropout.experiments.files import write_yaml
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.prune import Ranking, cut, plan_units
from espnet_adaptive_dropout.pruning.trained import Trained

TARGET = 0.54


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of a hybrid CTC/attention model.

    Args:
        title: whose size it is.
        width: size of the encoder output.
        heads: attention heads of encoder and decoder.
        hidden: hidden units of the feed-forward modules.
        encoder: number of encoder blocks.
        decoder: number of decoder layers.
        tokens: size of the vocabulary.
    """

    title: str
    width: int
    heads: int
    hidden: int
    encoder: int
    decoder: int
    tokens: int


SIZES = {
    "tiny": Size("tests", 16, 4, 24, 1, 2, 30),
    "100h": Size("ESPnet's Conformer for LibriSpeech 100 h", 256, 4, 2048, 12, 6, 5000),
    "960h": Size("ESPnet's Conformer for LibriSpeech 960 h", 512, 8, 2048, 12, 6, 5000),
}


@dataclasses.dataclass(frozen=True)
class Form:
    """What of a model is small or replaced.

    Args:
        title: description in the table.
        prunes_encoder: whether ``TARGET`` of the encoder is removed, at all locations.
        has_compact_decoder: whether the decoder is ``compact_transformer``.
        prunes_decoder: whether every layer of the decoder has lost ``TARGET`` of its
            units.
        has_fast_ctc: whether the CTC prefix scores are computed by ``fast_ctc``.
    """

    title: str
    prunes_encoder: bool = False
    has_compact_decoder: bool = False
    prunes_decoder: bool = False
    has_fast_ctc: bool = False


FORMS = {
    "espnet": Form("ESPnet"),
    "compact_decoder": Form("compact decoder, nothing removed", False, True),
    "pruned_encoder": Form("54 % of the encoder removed", True),
    "pruned_encoder_compact_decoder": Form(
        "54 % of the encoder removed, compact decoder", True, True
    ),
    "both_pruned": Form("54 % of encoder and decoder removed", True, True, True),
    "compact_decoder_fast_ctc": Form(
        "compact decoder, fast CTC scores, nothing removed",
        has_compact_decoder=True,
        has_fast_ctc=True,
    ),
    "both_pruned_fast_ctc": Form(
        "54 % of encoder and decoder removed, fast CTC scores", True, True, True, True
    ),
}


def recogniser(size: Size, form: Form, ctc_weight: float) -> Speech2Text:
    """ESPnet's recogniser with random weights; full-width forms have the same.

    Args:
        size: size of the model before anything is removed.
        form: what is small or replaced.
        ctc_weight: weight of the CTC scores in the search.
    """
    torch.manual_seed(0)
    config = model_config(size)
    state = build_model(ASRTask, config).state_dict()
    if form.prunes_encoder:
        config, state = _with_small_encoder(config, state)
    if form.has_compact_decoder:
        config["decoder"] = COMPACT_DECODER
    if form.prunes_decoder:
        config["decoder_conf"]["widths"] = _decoder_widths(size)
        # Only the number of units matters for the time.
        state = {**build_model(ASRTask, config).state_dict(), **_other_parts(state)}
    with tempfile.TemporaryDirectory() as directory:
        config_file = Path(directory, "config.yaml")
        model_file = Path(directory, "model.pth")
        write_yaml(config_file, config)
        torch.save(state, model_file)
        made = Speech2Text(
            str(config_file), str(model_file), ctc_weight=ctc_weight, lm_weight=0.0
        )
    if form.has_fast_ctc:
        fast_ctc(made)
    return made


def model_config(size: Size) -> dict[str, Any]:
    """Training config of ESPnet's model."""
    # Not ESPnet's get_default_config, which reads this program's command line.
    config = vars(ASRTask.get_parser().parse_args([]))
    words = [f"w{index}" for index in range(size.tokens - 3)]
    config.update(
        encoder="conformer",
        encoder_conf=dict(
            output_size=size.width,
            attention_heads=size.heads,
            linear_units=size.hidden,
            num_blocks=size.encoder,
            input_layer="conv2d",
            macaron_style=True,
            rel_pos_type="latest",
            cnn_module_kernel=31,
        ),
        decoder="transformer",
        decoder_conf=dict(
            attention_heads=size.heads,
            linear_units=size.hidden,
            num_blocks=size.decoder,
        ),
        specaug=None,
        normalize=None,
        model_conf=dict(ctc_weight=0.3, report_cer=False, report_wer=False),
        token_list=["<blank>", "<unk>", *words, "<sos/eos>"],
        token_type="word",
    )
    return config


def _with_small_encoder(
    config: dict[str, Any], state: dict[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Remove ``TARGET`` of the encoder, with widths like those of a trained model."""
    trained = Trained(ASRTask, config, state, Path("random"))
    scores = trained_like_scores(trained.table)
    ranking = Ranking(scores, torch.ones_like(scores, dtype=torch.bool), True)
    options = PruneOptions(TARGET, "trained-like", budget="location")
    keep, _ = plan_units(trained, ranking, options)
    return cut(trained, keep)


def _decoder_widths(size: Size) -> list[dict[str, Any]]:
    heads = [round((1.0 - TARGET) * size.width / size.heads)] * size.heads
    names = ("self_query", "self_value", "source_query", "source_value")
    layer = dict.fromkeys(names, heads)
    return [dict(layer, ffn=round((1.0 - TARGET) * size.hidden))] * size.decoder


def _other_parts(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: v for k, v in state.items() if not k.startswith("decoder.decoders.")}
