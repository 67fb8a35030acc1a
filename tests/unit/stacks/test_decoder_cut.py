"""A cut of the decoder in a training changes its cost and nothing else."""

import copy

import pytest
import torch
from support.decoders import (
    ARCHITECTURES,
    adaptive_decoder,
    keep_of,
    memory_of,
    random_kept,
    stock_decoder,
    teacher_forced,
)

from espnet_adaptive_dropout.experiments.sizes import parameters
from espnet_adaptive_dropout.pruning.trained import set_masks
from espnet_adaptive_dropout.stacks.training_cut import cut_training
from espnet_adaptive_dropout.units.surgery import Cut

NO_DROPOUT = dict(
    dropout_rate=0.0,
    positional_dropout_rate=0.0,
    self_attention_dropout_rate=0.0,
    src_attention_dropout_rate=0.0,
)


def frozen_decoder(architecture="pre_norm", share=0.5):
    """A decoder in double precision whose size is frozen."""
    options = {**ARCHITECTURES[architecture], **NO_DROPOUT}
    conf = dict(target_reduction=0.1, total_steps=1000)
    decoder = adaptive_decoder(stock_decoder(**options), conf, **options)
    decoder.double().train()
    set_masks(decoder.units, decoder.units.without_unused(keep_of(random_kept(share))))
    decoder.control.frozen.fill_(1.0)
    return decoder


def train(decoder, optimizer, seed):
    optimizer.zero_grad()
    memory, *others = teacher_forced(seed)
    decoder.begin_step()
    y, _ = decoder(memory.double(), *others)
    real = y[torch.arange(y.size(1))[None] < others[2][:, None]]
    probe = torch.randn(real.shape, generator=torch.Generator().manual_seed(seed))
    loss = (real * probe).mean().reshape(1)
    decoder.regularise(loss)
    loss.backward()
    optimizer.step()
    return loss.item()


def adam(decoder):
    return torch.optim.Adam(decoder.parameters(), lr=0.01)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_next_step_is_that_of_the_masked_network(architecture):
    masked = frozen_decoder(architecture)
    optimizer = adam(masked)
    train(masked, optimizer, seed=0)
    small = frozen_decoder(architecture)
    small.load_state_dict(masked.state_dict())
    other = adam(small)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    cut_training(small, [other])
    assert parameters(small) < parameters(masked)

    losses = [train(*pair, seed=7) for pair in ((masked, optimizer), (small, other))]
    assert losses[1] == pytest.approx(losses[0], abs=1e-12)
    cuts, expected = small.training_cut.cuts, dict(masked.named_parameters())
    for name, weight in small.named_parameters():
        if not weight.requires_grad or not weight.numel():
            continue
        gradient = cuts.get(name, Cut()).narrow(expected[name].grad)
        assert (weight.grad - gradient).abs().max() < 1e-12, name
        value = cuts.get(name, Cut()).narrow(expected[name].detach())
        assert (weight - value).abs().max() < 1e-6, name


def test_checkpoints_have_the_full_width_and_are_cut_again():
    decoder = frozen_decoder()
    optimizer = adam(decoder)
    train(decoder, optimizer, seed=0)
    before = copy.deepcopy(decoder.state_dict())
    cut_training(decoder, [optimizer])
    assert not decoder.cut_is_due
    after = decoder.state_dict()
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    train(decoder, optimizer, seed=1)
    resumed = frozen_decoder()
    resumed.load_state_dict(copy.deepcopy(decoder.state_dict()))
    other = adam(resumed)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert resumed.cut_is_due
    cut_training(resumed, [other])
    losses = [train(*pair, seed=9) for pair in ((decoder, optimizer), (resumed, other))]
    assert losses[0] == losses[1]
    state = resumed.state_dict()
    for name, value in decoder.state_dict().items():
        assert torch.equal(state[name], value), name


@torch.no_grad()
def test_evaluation_and_steps_of_a_cut_decoder():
    decoder = frozen_decoder().eval()
    memory, *others = teacher_forced()
    source, prefix = memory_of(9).double()[None], torch.tensor([[1, 4, 2]])
    expected = decoder(memory.double(), *others)[0]
    scores, _ = decoder.batch_score(prefix, [None], source)
    cut_training(decoder, [])
    assert (decoder(memory.double(), *others)[0] - expected).abs().max() < 1e-12
    found, _ = decoder.batch_score(prefix, [None], source)
    assert (found - scores).abs().max() < 1e-12
