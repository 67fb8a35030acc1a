"""Recognition with ESPnet's own inference classes: labels, and texts to compare."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from espnet_adaptive_dropout.compress.labels import SOURCE, labels_of
from espnet_adaptive_dropout.compress.open_inference import (
    is_ctc_alone,
    model_of,
    open_inference,
    quiet,
)
from espnet_adaptive_dropout.compress.tasks import sampling_rate
from espnet_adaptive_dropout.compress.written import Written
from espnet_adaptive_dropout.experiments.experiment import (
    first_line,
    load_config,
    load_task,
)
from espnet_adaptive_dropout.experiments.features import UNREADABLE
from espnet_adaptive_dropout.experiments.files import write_text
from espnet_adaptive_dropout.experiments.tables import read_table

_NO_PREVIOUS_TEXT = "<na>"


@dataclasses.dataclass
class Recognition:
    """What a model recognised.

    Args:
        texts: utterance -> texts by the names of ESPnet's data, as labels.
        audio_seconds: length of the audio, if it was recognised.
        seconds: time that the recognition took, reading included.
    """

    texts: dict[str, dict[str, str]]
    audio_seconds: float
    seconds: float

    @property
    def time_share(self) -> float:
        """Time of the recognition as a share of the length of the audio."""
        return self.seconds / max(self.audio_seconds, 1e-9)


class Recogniser:
    """Recognises speech with a model.

    A model with CTC alone is read off at the most likely path, all others by ESPnet's
    search with a beam of 1; with ``options``, as these say.

    Args:
        task: name of a module of ``espnet2.tasks``.
        config_file: config.yaml of the model.
        model_file: its checkpoint.
        options: arguments for ESPnet's inference class.
        device: "cpu" or "cuda".

    Raises:
        ValueError: ESPnet cannot open the model or refuses an option.
    """

    def __init__(
        self,
        task: str,
        config_file: Path,
        model_file: Path,
        options: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ):
        self.task = task
        self.config = load_config(config_file)
        self.labels = labels_of(task, self.config)
        self.device = device
        self.greedy = is_ctc_alone(task, self.config) and not options
        with quiet():
            self.inference = open_inference(
                task, config_file, model_file, options, device
            )
        self.model = model_of(self.inference)

    @torch.no_grad()
    def __call__(
        self, data: Written, title: str, memory: Path | None = None
    ) -> Recognition:
        """Recognise all utterances of a data directory.

        Args:
            data: the directory.
            title: text before the progress bar.
            memory: file that keeps what was recognised, with all texts that a
                training needs; an interrupted run goes on after what is in it.

        Raises:
            ValueError: the audio cannot be read.
        """
        texts = _remembered(memory)
        names = [name for name in read_table(data.speech[0]) if name not in texts]
        samples = 0
        start = time.perf_counter()
        with contextlib.ExitStack() as stack:
            if memory is not None:
                file = stack.enter_context(open(memory, "a", encoding="utf-8"))
            speech = self._speech(data, names) if names else []
            bar = tqdm(speech, title, len(names), unit="utt", leave=False)
            for name, wave in bar:
                samples += len(wave)
                texts[name] = self._labels_of(name, wave, memory is not None)
                if memory is not None:
                    file.write(json.dumps([name, texts[name]]) + "\n")
                    file.flush()
        seconds = time.perf_counter() - start
        return Recognition(texts, samples / sampling_rate(self.config), seconds)

    def _speech(
        self, data: Written, names: list[str]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        path, _, _ = data.speech
        task: Any = load_task(self.task)
        collate = task.build_collate_fn(argparse.Namespace(**self.config), train=False)
        keys = data.directory / "keys.scp"
        write_text(keys, "".join(f"{name}\n" for name in names))
        try:
            for names, batch in task.build_streaming_iterator(
                [data.speech],
                preprocess_fn=None,
                dtype="float32",
                collate_fn=collate,
                key_file=str(keys),
                batch_size=1,
                num_workers=0,
                allow_variable_data_keys=True,
                inference=True,
            ):
                yield names[0], batch["speech"][0]
        except UNREADABLE as error:
            raise ValueError(
                f"{path}: cannot read the audio ({first_line(error)})"
            ) from None

    def _labels_of(
        self, name: str, speech: torch.Tensor, source: bool
    ) -> dict[str, str]:
        """Return the texts of an utterance; empty ones if it is less than a frame.

        Args:
            name: the utterance.
            speech: its samples, (samples,).
            source: transcribe the source language too, if the model learns that.
        """
        try:
            with quiet():
                texts = self._labels(speech)
                if source and SOURCE in self.labels.names:
                    texts[SOURCE] = self._source_text(speech)
                return texts
        except KeyError as error:
            raise ValueError(
                f"the model does not know the symbol {error}; set lang_sym and "
                f"task_sym in --inference_config"
            ) from None
        except (RuntimeError, IndexError, AssertionError) as error:
            if len(speech) < sampling_rate(self.config):
                return self._label("", "")
            raise ValueError(
                f"{name}: cannot be recognised ({first_line(error)[:150]})"
            ) from error

    def _labels(self, speech: torch.Tensor) -> dict[str, str]:
        """Return the texts of an utterance, (samples,)."""
        if self.greedy:
            tokens = self._best_path(speech.to(self.device))
            return self._label(self._text(tokens), "")
        results: Any = self.inference(speech)
        if isinstance(results, tuple):  # with intermediate CTC
            results = results[0]
        text, tokens, *more = results[0]
        text = " ".join(tokens) if text is None else text
        return self._label(text, more[1] if self.task == "s2t" else "")

    def _best_path(self, speech: torch.Tensor) -> list[str]:
        """Return the tokens of the most likely CTC path of an utterance, (samples,)."""
        lengths = torch.tensor([len(speech)], device=speech.device)
        encoded, frames = self.model.encode(speech[None], lengths)
        encoded = encoded[0] if isinstance(encoded, tuple) else encoded
        return self.inference.converter.ids2tokens(self._best_ids(encoded, frames))

    def _best_ids(self, encoded: torch.Tensor, frames: torch.Tensor) -> list[int]:
        """Return the tokens of the most likely path through (1, frames, size)."""
        path = self.model.ctc.argmax(encoded)[0, : int(frames[0])].tolist()
        blank = getattr(self.model, "blank_id", 0)
        return [token for token, _ in itertools.groupby(path) if token != blank]

    def _source_text(self, speech: torch.Tensor) -> str:
        """Return what a speech translation model hears in an utterance, (samples,)."""
        lengths = torch.tensor([len(speech)], device=self.device)
        speech = speech[None].to(self.device)
        encodings = self.model.encode(speech, lengths, return_int_enc=True)
        ids = self._best_ids(*encodings[2:])
        tokens = self.inference.src_converter.ids2tokens(ids)
        tokenizer = self.inference.src_tokenizer
        return " ".join(tokens) if tokenizer is None else tokenizer.tokens2text(tokens)

    def _text(self, tokens: list[str]) -> str:
        tokenizer = self.inference.tokenizer
        return " ".join(tokens) if tokenizer is None else tokenizer.tokens2text(tokens)

    def _label(self, text: str, spoken: str) -> dict[str, str]:
        """Return the texts with which the utterance could be trained on."""
        if self.task != "s2t":
            return {"text": text}
        if self.config.get("token_type") != "bpe":
            text = f"<space> {text}"  # ESPnet drops the first token, a space in BPE
        return {"text": text, "text_prev": _NO_PREVIOUS_TEXT, "text_ctc": spoken}


def _remembered(memory: Path | None) -> dict[str, dict[str, str]]:
    """Read what was recognised before; a line that was cut off is left out."""
    texts: dict[str, dict[str, str]] = {}
    if memory is not None and memory.exists():
        for line in memory.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                name, found = json.loads(line)
                texts[name] = found
    return texts
