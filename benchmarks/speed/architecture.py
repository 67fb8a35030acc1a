"""The encoders that are measured, as ESPnet ASR configs that need no data."""

from __future__ import annotations

from typing import Any, Dict

INPUT_SIZE = 80
FRAMES_PER_SECOND = 100
VOCABULARY = 500

# encoder_conf of each size; "256" is the reference, the others show what width does.
SIZES: Dict[str, Dict[str, int]] = {
    "tiny": dict(
        output_size=16,
        linear_units=48,
        num_blocks=3,
        attention_heads=4,
        cnn_module_kernel=3,
    ),
    "144": dict(output_size=144, linear_units=576, num_blocks=12, attention_heads=4),
    "256": dict(output_size=256, linear_units=1024, num_blocks=12, attention_heads=4),
    "512": dict(output_size=512, linear_units=2048, num_blocks=12, attention_heads=8),
}
REFERENCE = "256"


def encoder_options(size: str) -> Dict[str, Any]:
    """``encoder_conf`` of the stock encoder of this size."""
    common = dict(
        dropout_rate=0.1,
        positional_dropout_rate=0.1,
        attention_dropout_rate=0.1,
        input_layer="conv2d",
        macaron_style=True,
        rel_pos_type="latest",
        cnn_module_kernel=31,
    )
    return {**common, **SIZES[size]}


def asr_config(size: str, **options: Any) -> Dict[str, Any]:
    """Training config of a CTC model with the stock encoder, fed with features.

    Args:
        size: key of SIZES.
        **options: of ESPnet's ASR task, over those here.
    """
    from espnet2.tasks.asr import ASRTask

    # Not ESPnet's get_default_config, which reads this program's command line.
    config = vars(ASRTask.get_parser().parse_args([]))
    words = [f"w{index}" for index in range(VOCABULARY - 3)]
    config.update(
        encoder="conformer",
        encoder_conf=encoder_options(size),
        decoder=None,
        frontend=None,
        input_size=INPUT_SIZE,
        normalize=None,
        specaug=None,
        model_conf=dict(ctc_weight=1.0, report_cer=False, report_wer=False),
        token_list=["<blank>", "<unk>", *words, "<sos/eos>"],
        token_type="word",
        **options,
    )
    return config
