"""Configs of tiny trainings in ESPnet's tasks."""

from support.tiny_joint_configs import JOINT
from support.tiny_task import (
    BEAM,
    QUIET,
    S2T,
    S2T_DATA,
    SOURCE,
    SPEECH,
    TEXT,
    TIMES,
    TOKENS,
    Tiny,
)

HYBRID = dict(model="adaptive_dropout", model_conf=dict(ctc_weight=0.3, **QUIET))
LANGUAGE = ("--lang_sym", "eng", "--task_sym", "asr")

TASKS = {
    "asr_hybrid": Tiny("asr", HYBRID),
    "asr_ctc": Tiny(
        "asr",
        dict(
            model="adaptive_dropout",
            model_conf=dict(ctc_weight=1.0, **QUIET),
            decoder=None,
            decoder_conf={},
        ),
        arguments=BEAM + ("--ctc_weight", "1.0"),
    ),
    "asr_transducer": Tiny(
        "asr",
        dict(
            HYBRID,
            decoder="transducer",
            decoder_conf=dict(rnn_type="lstm", num_layers=1, hidden_size=8),
            joint_net_conf=dict(joint_space_size=8),
        ),
        arguments=("--beam_size", "2", "--ctc_weight", "0.0"),
    ),
    "st": Tiny(
        "st",
        dict(
            src_token_type="word",
            src_token_list=TOKENS,
            model_conf=dict(asr_weight=0.3, mtlalpha=1.0, report_bleu=False, **QUIET),
        ),
        (SPEECH, TEXT, SOURCE),
    ),
    "s2t": Tiny(
        "s2t",
        dict(
            {**HYBRID, **S2T},
            preprocessor_conf=dict(S2T["preprocessor_conf"], **TIMES),
        ),
        S2T_DATA,
        BEAM + LANGUAGE,
    ),
    "s2t_ctc": Tiny(
        "s2t_ctc",
        dict(
            S2T,
            model="adaptive_dropout",
            model_conf=QUIET,
            decoder=None,
            decoder_conf=None,
            promptencoder="transformer",
            promptencoder_conf=dict(
                output_size=8, attention_heads=2, linear_units=8, num_blocks=1
            ),
        ),
        S2T_DATA,
        # Its best-path search, beam_size 1, takes no utterance of a data set.
        ("--beam_size", "2", *LANGUAGE),
        train=None,
        decode="s2t_inference_ctc",
        option="s2t_",
    ),
    "slu": Tiny("slu", HYBRID),
    "mt": Tiny(
        "mt",
        dict(
            src_token_type="word",
            src_token_list=TOKENS,
            model="adaptive_dropout",
            model_conf=dict(report_bleu=False),
            frontend="embed",
            frontend_conf=dict(embed_dim=8),
            normalize=None,
        ),
        (TEXT, SOURCE),
        BEAM + ("--ctc_weight", "0.0"),
        audio=SOURCE,
    ),
    "diar": Tiny(
        "diar",
        dict(
            num_spk=2,
            decoder="linear",
            decoder_conf={},
            label_aggregator_conf=dict(win_length=256, hop_length=512),
            token_list=None,
            token_type=None,
        ),
        (SPEECH, ("labels.scp", "spk_labels", "npy")),
        arguments=(),
        option="",
    ),
    **JOINT,
}
