"""Trainings of seconds in ESPnet's tasks: their configs, data and decoding."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, Tuple

import numpy as np
import soundfile
import torch
import yaml

RATE = 16000
SAMPLES = [4800, 6400, 5600, 7200]
TEXTS = ["a b c", "c a", "b", "a c b"]
TOKENS = (
    "<blank> <unk> <na> <nolang> <eng> <asr> <notimestamps> <0.00> <30.00> <space> "
    "a b c <sop> <sos> <eos> <sos/eos>"
).split()
# The S2T tasks drop the first token and read language and task from the next two.
S2T_PREFIX = "<space> <eng> <asr> <notimestamps>"


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
        output="1best_recog_spk1/token",
        encoder="asr_encoder",
    ),
}


def write_data(root: Path) -> Path:
    """Four utterances of noise with texts, two speakers and shapes."""
    generator = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    tables: Dict[str, List[str]] = {
        name: []
        for name in ("wav.scp", "text", "src_text", "s2t_text", "rttm", "shape")
    }
    for index, (samples, text) in enumerate(zip(SAMPLES, TEXTS)):
        name = f"utt{index}"
        wave = generator.normal(scale=0.1, size=samples)
        soundfile.write(root / f"{name}.wav", wave, RATE)
        tables["wav.scp"].append(f"{name} {root / name}.wav")
        tables["text"].append(f"{name} {text}")
        tables["src_text"].append(f"{name} {' '.join(text.split() * 2)}")
        tables["s2t_text"].append(f"{name} {S2T_PREFIX} {text}")
        half = samples // 2
        tables["rttm"] += [
            f"SPEAKER {name} 1 0 {half} <NA> <NA> one <NA>",
            f"SPEAKER {name} 1 {half // 2} {samples - 1} <NA> <NA> two <NA>",
            f"END {name} <NA> <NA> {samples} <NA> <NA> <NA> <NA>",
        ]
        tables["shape"].append(f"{name} {samples}")
    for name, lines in tables.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def encoder_conf(**adaptive_dropout_conf: Any) -> Dict[str, Any]:
    """A Conformer of one block."""
    return dict(
        output_size=8,
        attention_heads=2,
        linear_units=16,
        num_blocks=1,
        cnn_module_kernel=3,
        rel_pos_type="latest",
        input_layer="conv2d",
        adaptive_dropout_conf=adaptive_dropout_conf,
    )


def write_config(tiny: Tiny, path: Path) -> None:
    """The training config: four steps, the size final in the second half."""
    conf = encoder_conf(target_reduction=0.2, freeze_at=0.6, ramp_end=0.5)
    if tiny.task == "mt":
        conf["input_layer"] = "linear"
    values = dict(
        DECODER,
        token_list=TOKENS,
        token_type="word",
        frontend_conf=dict(n_fft=256, hop_length=128, n_mels=20),
        normalize="utterance_mvn",
        optim="adam",
        optim_conf=dict(lr=0.002),
        batch_type="unsorted",
        batch_size=2,
        valid_batch_type="unsorted",
        max_epoch=2,
        keep_nbest_models=1,
        best_model_criterion=[["valid", "final_loss", "min"]],
        num_att_plot=0,
        num_workers=0,
        use_matplotlib=False,
        use_tensorboard=False,
        ngpu=0,
        seed=1,
    )
    values.update({tiny.encoder: "adaptive_dropout_conformer"})
    values.update({f"{tiny.encoder}_conf": conf})
    values.update(tiny.config)
    values = {name: value for name, value in values.items() if value is not None}
    path.write_text(yaml.safe_dump(values))


def training_arguments(tiny: Tiny, data: Path, output: Path) -> List[str]:
    """Arguments of the training command; writes the config beside ``output``."""
    config = output.parent / f"{output.name}.yaml"
    write_config(tiny, config)
    arguments = ["--config", str(config), "--output_dir", str(output)]
    for part in ("train", "valid"):
        arguments += [f"--{part}_shape_file", str(data / "shape")]
        for file, name, kind in tiny.data:
            triplet = f"{data / file},{name},{kind}"
            arguments += [f"--{part}_data_path_and_name_and_type", triplet]
    return arguments


def decoding_arguments(tiny: Tiny, data: Path, exp: Path, output: Path) -> List[str]:
    """Arguments of the task's decoding command."""
    file, name, kind = tiny.audio
    return [
        *(f"--{tiny.option}train_config", str(exp / "config.yaml")),
        *(f"--{tiny.option}model_file", str(exp / "valid.final_loss.best.pth")),
        *("--output_dir", str(output), "--num_workers", "0"),
        *("--data_path_and_name_and_type", f"{data / file},{name},{kind}"),
        *tiny.arguments,
    ]


def provide_transducer_loss() -> None:
    """ESPnet's transducer needs warprnnt_pytorch, which has no wheel: torchaudio's
    loss takes its place where it is missing."""
    try:
        import warprnnt_pytorch  # noqa: F401
    except ImportError:
        from torchaudio.functional import rnnt_loss

        class RNNTLoss(torch.nn.Module):
            def __init__(self, blank: int = 0, fastemit_lambda: float = 0.0):
                super().__init__()
                self.blank = blank

            def forward(self, logits, targets, logit_lengths, target_lengths):
                return rnnt_loss(
                    logits, targets, logit_lengths, target_lengths, self.blank
                )

        module = ModuleType("warprnnt_pytorch")
        module.RNNTLoss = RNNTLoss
        sys.modules["warprnnt_pytorch"] = module
