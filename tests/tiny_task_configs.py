"""Configs of trainings of seconds in ESPnet's tasks."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Tuple

RATE = 16000
TOKENS = (
    "<blank> <unk> <na> <nolang> <eng> <asr> <notimestamps> <0.00> <30.00> <space> "
    "a b c <sop> <sos> <eos> <sos/eos>"
).split()


@dataclasses.dataclass(frozen=True)
class Tiny:
    """A training, and how its model is decoded.

    Args:
        task: module of ``espnet2.tasks``.
        train: module of ``espnet2.bin``.
        data: (file, name, type) of the training data.
        config: goes over the common config.
        decode: module of ``espnet2.bin``.
        option: prefix of its options, "asr_" for ``--asr_train_config``.
        arguments: other options of it.
        output: the file it writes.
        encoder: name of the encoder's option.
        audio: name and type of what is decoded.
    """

    task: str
    train: str
    data: Tuple[Tuple[str, str, str], ...]
    config: Dict[str, Any]
    decode: str
    option: str
    arguments: Tuple[str, ...] = ()
    output: str = "1best_recog/token"
    encoder: str = "encoder"
    audio: Tuple[str, str, str] = ("wav.scp", "speech", "sound")


SPEECH = ("wav.scp", "speech", "sound")
TEXT = ("text", "text", "text")
SOURCE = ("src_text", "src_text", "text")
DECODER = dict(
    decoder="transformer",
    decoder_conf=dict(attention_heads=2, linear_units=8, num_blocks=1),
)
QUIET = dict(report_cer=False, report_wer=False)
BEAM = ("--beam_size", "2", "--maxlenratio", "-4")
S2T = dict(
    preprocessor_conf=dict(
        fs=RATE,
        speech_length=0.5,
        speech_init_silence=0.0,
        text_prev_apply_prob=1.0,
    ),
    frontend_conf=dict(n_fft=256, hop_length=128, n_mels=20, fs="16k"),
)
TIMES = dict(
    notime_symbol="<notimestamps>",
    first_time_symbol="<0.00>",
    last_time_symbol="<30.00>",
)
S2T_DATA = (
    SPEECH,
    ("s2t_text", "text", "text"),
    ("src_text", "text_prev", "text"),
    ("text", "text_ctc", "text"),
)

TASKS = {
    "asr_hybrid": Tiny(
        "asr",
        "asr_train",
        (SPEECH, TEXT),
        dict(model="adaptive_dropout", model_conf=dict(ctc_weight=0.3, **QUIET)),
        "asr_inference",
        "asr_",
        BEAM,
    ),
    "asr_ctc": Tiny(
        "asr",
        "asr_train",
        (SPEECH, TEXT),
        dict(
            model="adaptive_dropout",
            model_conf=dict(ctc_weight=1.0, **QUIET),
            decoder=None,
            decoder_conf={},
        ),
        "asr_inference",
        "asr_",
        BEAM + ("--ctc_weight", "1.0"),
    ),
    "asr_transducer": Tiny(
        "asr",
        "asr_train",
        (SPEECH, TEXT),
        dict(
            model="adaptive_dropout",
            model_conf=dict(ctc_weight=0.3, **QUIET),
            decoder="transducer",
            decoder_conf=dict(rnn_type="lstm", num_layers=1, hidden_size=8),
            joint_net_conf=dict(joint_space_size=8),
        ),
        "asr_inference",
        "asr_",
        ("--beam_size", "2", "--ctc_weight", "0.0"),
    ),
    "st": Tiny(
        "st",
        "st_train",
        (SPEECH, TEXT, SOURCE),
        dict(
            src_token_type="word",
            src_token_list=TOKENS,
            model_conf=dict(asr_weight=0.3, mtlalpha=1.0, report_bleu=False, **QUIET),
        ),
        "st_inference",
        "st_",
        BEAM,
    ),
    "s2t": Tiny(
        "s2t",
        "s2t_train",
        S2T_DATA,
        dict(
            S2T,
            model="adaptive_dropout",
            model_conf=dict(ctc_weight=0.3, **QUIET),
            preprocessor_conf=dict(S2T["preprocessor_conf"], **TIMES),
        ),
        "s2t_inference",
        "s2t_",
        BEAM + ("--lang_sym", "eng", "--task_sym", "asr"),
    ),
    "s2t_ctc": Tiny(
        "s2t_ctc",
        "s2t_train_ctc",
        S2T_DATA,
        dict(
            S2T,
            model="adaptive_dropout",
            model_conf=dict(**QUIET),
            decoder=None,
            decoder_conf=None,
            promptencoder="transformer",
            promptencoder_conf=dict(
                output_size=8, attention_heads=2, linear_units=8, num_blocks=1
            ),
        ),
        "s2t_inference_ctc",
        "s2t_",
        # Its best-path search, beam_size 1, takes no utterance of a data set.
        ("--beam_size", "2", "--lang_sym", "eng", "--task_sym", "asr"),
    ),
    "slu": Tiny(
        "slu",
        "slu_train",
        (SPEECH, TEXT),
        dict(model="adaptive_dropout", model_conf=dict(ctc_weight=0.3, **QUIET)),
        "slu_inference",
        "slu_",
        BEAM,
    ),
    "mt": Tiny(
        "mt",
        "mt_train",
        (TEXT, SOURCE),
        dict(
            src_token_type="word",
            src_token_list=TOKENS,
            model="adaptive_dropout",
            model_conf=dict(report_bleu=False),
            frontend="embed",
            frontend_conf=dict(embed_dim=8),
            normalize=None,
        ),
        "mt_inference",
        "mt_",
        BEAM + ("--ctc_weight", "0.0"),
        audio=SOURCE,
    ),
    "diar": Tiny(
        "diar",
        "diar_train",
        (SPEECH, ("rttm", "spk_labels", "rttm")),
        dict(
            num_spk=2,
            decoder="linear",
            decoder_conf={},
            label_aggregator_conf=dict(win_length=256, hop_length=512),
            token_list=None,
            token_type=None,
        ),
        "diar_inference",
        "",
    ),
    "enh_s2t": Tiny(
        "enh_s2t",
        "enh_s2t_train",
        (
            SPEECH,
            ("wav.scp", "speech_ref1", "sound"),
            ("text", "text_spk1", "text"),
        ),
        dict(
            subtask_series=["enh", "asr"],
            enh_encoder="stft",
            enh_encoder_conf=dict(n_fft=256, hop_length=128),
            enh_separator="rnn",
            enh_separator_conf=dict(rnn_type="lstm", num_spk=1, layer=1, unit=8),
            enh_decoder="stft",
            enh_decoder_conf=dict(n_fft=256, hop_length=128),
            enh_criterions=[
                dict(
                    name="snr",
                    conf=dict(eps=1e-7),
                    wrapper="fixed_order",
                    wrapper_conf=dict(weight=1.0),
                )
            ],
            enh_model_conf={},
            asr_model_conf=dict(ctc_weight=0.3, **QUIET),
            asr_decoder=DECODER["decoder"],
            asr_decoder_conf=DECODER["decoder_conf"],
            model_conf=dict(calc_enh_loss=True),
            use_preprocessor=True,
            text_name=["text_spk1"],
            decoder=None,
            decoder_conf=None,
            normalize=None,
        ),
        "asr_inference",
        "asr_",
        BEAM + ("--enh_s2t_task", "true"),
        output="1best_recog/token_spk1",
        encoder="asr_encoder",
    ),
}
