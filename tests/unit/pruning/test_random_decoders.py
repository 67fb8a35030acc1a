"""Random decoders and random cuts against ESPnet's decoder with zeros.

The oracle is ESPnet's own decoder; what is not kept is set to zero by
``support.decoders.zero_units``, which shares no code with the package.
"""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from support.decoders import zero_units
from support.encoders import randomise

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.decoders.adaptive import AdaptiveDropoutTransformerDecoder
from espnet_adaptive_dropout.experiments.checkpoint import without_gates
from espnet_adaptive_dropout.experiments.sizes import parameters
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.trained import set_masks
from espnet_adaptive_dropout.units.surgery import cut_weights

VOCABULARY = 7
SHARES = (0.0, 0.2, 0.6, 0.9, 1.0)


@st.composite
def cases(draw):
    """Options of a decoder, a share of units for every group, and a seed."""
    heads, width = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([2, 4]))
    layers = draw(st.integers(1, 2))
    options = dict(
        vocab_size=VOCABULARY,
        encoder_output_size=heads * width,
        attention_heads=heads,
        linear_units=draw(st.integers(1, 6)),
        num_blocks=layers,
        normalize_before=draw(st.booleans()),
        concat_after=draw(st.booleans()),
        use_output_layer=draw(st.booleans()),
        dropout_rate=0.0,
        positional_dropout_rate=0.0,
    )
    groups = 5 * layers
    shares = draw(st.lists(st.sampled_from(SHARES), min_size=groups, max_size=groups))
    return options, shares, draw(st.integers(0, 999))


def random_keep(table, shares, seed):
    generator = torch.Generator().manual_seed(seed)
    keep = torch.zeros(table.num_units, dtype=torch.bool)
    for group, share in zip(table.groups, shares):
        keep[group.span] = torch.rand(group.num_units, generator=generator) < share
    return table.without_unused(keep)


def decoders_of(options, shares, seed):
    """The masked decoder, ESPnet's with zeros, and the compact one."""
    masked = AdaptiveDropoutTransformerDecoder(
        **options, adaptive_dropout_conf=dict(control="schedule", total_steps=10)
    )
    randomise(masked, seed)
    stock = compat.TransformerDecoder(**options)
    stock.load_state_dict(without_gates(masked.state_dict()))
    table = masked.units
    keep = random_keep(table, shares, seed)
    set_masks(table, keep)
    plan = PruningPlan.from_keep(table, keep, "random", None)
    zero_units(stock, plan.decoder)
    compact = masked.compact(keep)
    weights = without_gates(masked.state_dict())
    compact.load_state_dict(cut_weights(weights, table, keep, ""))
    assert parameters(compact) == table.parameters.total - plan.removed_parameters
    assert torch.equal(plan.keep(table), keep)
    return [module.double().eval() for module in (masked, stock, compact)]


def batch(size, seed):
    """Encoder outputs and tokens of two utterances, padded."""
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(2, 5, size, generator=generator, dtype=torch.float64)
    tokens = torch.randint(VOCABULARY, (2, 4), generator=generator)
    return memory, torch.tensor([5, 3]), tokens, torch.tensor([4, 2])


def outputs_and_gradient(decoder, arguments):
    memory, *others = arguments
    memory = memory.clone().requires_grad_()
    y, _ = decoder(memory, *others)
    real = torch.cat([y[0], y[1, :2]])
    (gradient,) = torch.autograd.grad(real.tanh().sum(), memory, allow_unused=True)
    return real.detach(), torch.zeros_like(memory) if gradient is None else gradient


@torch.no_grad()
def scores_of_a_search(decoder, memory, tokens):
    """Scores step by step for two hypotheses of one utterance."""
    states, found = [None, None], []
    for known in range(1, tokens.size(1) + 1):
        xs = memory[:1].expand(2, -1, -1)
        scores, states = decoder.batch_score(tokens[:, :known], states, xs)
        found.append(scores)
    return torch.cat(found)


@given(cases())
def test_masked_and_compact_decoders_are_espnets_with_zeros(case):
    options, shares, seed = case
    masked, stock, compact = decoders_of(options, shares, seed)
    arguments = batch(options["encoder_output_size"], seed)
    expected, gradient = outputs_and_gradient(stock, arguments)
    scores = scores_of_a_search(stock, arguments[0], arguments[2])
    for decoder in (masked, compact):
        found, other = outputs_and_gradient(decoder, arguments)
        assert (found - expected).abs().max() < 1e-10
        assert (other - gradient).abs().max() < 1e-10
        steps = scores_of_a_search(decoder, arguments[0], arguments[2])
        assert (steps - scores).abs().max() < 1e-10
