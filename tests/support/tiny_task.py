"""What trainings of seconds in ESPnet's tasks have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

from support.tiny_training import RATE

TOKENS = (
    "<blank> <unk> <na> <nolang> <eng> <asr> <notimestamps> <0.00> <30.00> <space> "
    "a b c <sop> <sos> <eos> <sos/eos>"
).split()


SPEECH = ("wav.scp", "speech", "sound")
TEXT = ("text", "text", "text")
SOURCE = ("src_text", "src_text", "text")
BEAM = ("--beam_size", "2", "--maxlenratio", "-4")


@dataclasses.dataclass
class Tiny:
    """A training, and how its model is decoded.

    Args:
        task: module of ``espnet2.tasks``.
        config: goes over the common config.
        data: (file, name, type) of the training data.
        arguments: options of the decoding command.
        train: module of ``espnet2.bin``, by default <task>_train; None where not every
            release has one.
        decode: module of ``espnet2.bin``, by default <task>_inference.
        option: prefix of its options, by default "asr_" for ``--asr_train_config``.
        output: the file it writes.
        encoder: name of the encoder's option.
        audio: name and type of what is decoded.
    """

    task: str
    config: dict[str, Any]
    data: tuple[tuple[str, str, str], ...] = (SPEECH, TEXT)
    arguments: tuple[str, ...] = BEAM
    train: str | None = "{task}_train"
    decode: str = "{task}_inference"
    option: str = "{task}_"
    output: str = "1best_recog/token"
    encoder: str = "encoder"
    audio: tuple[str, str, str] = SPEECH

    def __post_init__(self) -> None:
        for name in ("train", "decode", "option"):
            value = getattr(self, name)
            setattr(self, name, value and value.format(task=self.task))


QUIET = dict(report_cer=False, report_wer=False)
SNR = dict(name="snr", conf=dict(eps=1e-7), wrapper_conf=dict(weight=1.0))
S2T = dict(
    preprocessor_conf=dict(
        fs=RATE,
        speech_length=0.8,
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
