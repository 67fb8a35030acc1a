"""A small CTC task that is learnt in seconds, for trials of the size control.

Sequences of symbols out of a sparse bigram language; every symbol is a random
codeword of some frames with noise. It is no speech, but it makes some units matter
more than others.
"""

from __future__ import annotations

import dataclasses

import torch

from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder

SYMBOLS = 20
DIMENSIONS = 40
BATCH = 8


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of an encoder."""

    output_size: int
    linear_units: int
    num_blocks: int
    attention_heads: int = 4


class Task(torch.nn.Module):
    """Encoder and CTC output for the synthetic language.

    Args:
        size: size of the encoder.
        adaptive_dropout_conf: options of adaptive dropout.
    """

    def __init__(self, size: Size, adaptive_dropout_conf: dict):
        super().__init__()
        self.encoder = AdaptiveDropoutConformerEncoder(
            DIMENSIONS,
            **dataclasses.asdict(size),
            input_layer="linear",
            rel_pos_type="latest",
            macaron_style=True,
            cnn_module_kernel=7,
            adaptive_dropout_conf=adaptive_dropout_conf,
        )
        self.output = torch.nn.Linear(size.output_size, SYMBOLS + 1)
        generator = torch.Generator().manual_seed(99)
        self.codewords = torch.randn(SYMBOLS, DIMENSIONS, generator=generator)
        self.successors = torch.randint(SYMBOLS, (SYMBOLS, 6), generator=generator)

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, list, list]:
        """Features (#batch, frames, dim), lengths, symbols and their numbers."""
        generator = torch.Generator().manual_seed(step)
        features, symbols = [], []
        for _ in range(BATCH):
            text = [int(torch.randint(SYMBOLS, (1,), generator=generator))]
            for _ in range(5):
                index = int(torch.randint(6, (1,), generator=generator))
                text.append(int(self.successors[text[-1], index]))
            lengths = torch.randint(2, 5, (6,), generator=generator)
            frames = self.codewords[text].repeat_interleave(lengths, dim=0)
            noise = torch.randn(frames.shape, generator=generator)
            features.append(frames + 1.5 * noise)
            symbols.append(torch.tensor(text) + 1)
        lengths = torch.tensor([len(frames) for frames in features])
        padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
        return padded, lengths, symbols, [len(text) for text in symbols]

    def loss(self, step: int) -> torch.Tensor:
        """CTC loss, summed over frames and averaged over utterances, as in ESPnet."""
        features, lengths, symbols, numbers = self.batch(step)
        encoded, lengths, _ = self.encoder(features, lengths)
        scores = self.output(encoded).log_softmax(dim=-1).transpose(0, 1)
        loss = torch.nn.functional.ctc_loss(
            scores, torch.cat(symbols), lengths, torch.tensor(numbers), reduction="sum"
        )
        return loss / BATCH


def train(
    task: Task, steps: int, optimizer: torch.optim.Optimizer | None = None
) -> list[dict[str, float]]:
    """Train as ESPnet does, with clipped gradients; what was logged.

    Args:
        task: what to train.
        steps: number of training steps.
        optimizer: with a constant learning rate; None takes Adam with warm-up.
    """
    warm_up = optimizer is None
    if optimizer is None:
        optimizer = torch.optim.Adam(task.parameters())
    warmup = max(1, steps // 10)
    record = []
    task.train()
    for step in range(1, steps + 1):
        if warm_up:
            scale = warmup**0.5 * min(step**-0.5, step * warmup**-1.5)
            optimizer.param_groups[0]["lr"] = 2e-3 * scale
        loss = task.loss(step)
        stats = task.encoder.regularise(loss)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 5.0)
        optimizer.step()
        values = {name: value.item() for name, value in stats.items()}
        record.append({"loss": loss.item(), **values})
    return record
