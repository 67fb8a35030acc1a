"""Activation scores against contributions that are computed one by one."""

import functools

import pytest
import torch
from support.encoders import adaptive, batch, options_of
from support.experiments import make_experiment, refused_prune, run_prune

from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.activation import activation_scores
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.prune import rank
from espnet_adaptive_dropout.units.locations import names_of

OTHERS = ("legacy", "absolute", "no_conv_module", "conv1d", "conv1d_linear")
OTHERS += ("post_norm", "concat_after", "conv2d6", "linear_input", "relu")


def utterances():
    features, lengths = batch()
    return [
        Inputs(features[i : i + 1, :n], torch.tensor([n]))
        for i, n in enumerate(lengths.tolist())
    ]


@functools.cache
def record(encoder, module):
    """What a module reads and puts out for every utterance, as calls of its own."""
    calls = []
    hook = module.register_forward_hook(
        lambda _, args, output: calls.append((args, output))
    )
    with torch.no_grad():
        for inputs in utterances():
            inputs.run(encoder)
    hook.remove()
    return calls


def rows(tensors):
    return torch.cat([tensor.flatten(0, -2) for tensor in tensors]).double()


def influence(encoder, group):
    """RMS of a module's output as it is added, relative to that of the sum."""
    if group.block is None:
        return 1.0
    block = encoder.encoders[group.block]
    added = rows(o for _, o in record(encoder, getattr(block, names[group.location])))
    if names[group.location].startswith("feed"):
        added = added * (0.5 if block.feed_forward_macaron is not None else 1.0)
    first = [args[0] for args, _ in record(encoder, block)]
    stream = rows(x[0] if isinstance(x, tuple) else x for x in first)
    return (added.norm() / stream.norm()).item()


names = dict(
    ffn_macaron="feed_forward_macaron", ffn="feed_forward", query="self_attn",
    value="self_attn", conv_input="conv_module", conv_channel="conv_module",
)  # fmt: skip


def layer_behind(encoder, group):
    """The layer whose output changes when a unit of the group is silent."""
    if group.location == "subsampling_1":
        return encoder.embed.conv[2]
    if group.location == "subsampling_2":
        out = encoder.embed.out
        return out[0] if isinstance(out, torch.nn.Sequential) else out
    module = getattr(encoder.encoders[group.block], names[group.location])
    name = dict(
        value="linear_out", conv_input="pointwise_conv1", conv_channel="pointwise_conv2"
    )
    return getattr(module, name.get(group.location, "w_2"))


def contribution(encoder, group, unit):
    """Energy of what a unit adds to the layer that reads it.

    A linear layer and a convolution of one frame: their output with all but the unit
    silent, without the bias. One entry of the unit (a frequency, a frame of the
    kernel) at a time, and these added up.
    """
    layer = layer_behind(encoder, group)
    if isinstance(layer, torch.nn.Conv2d):
        energy = 0.0
        for (x,), _ in record(encoder, layer):
            square = x[:, unit].double().square().mean()
            energy += square * x[:, unit].numel()
        frames = sum(x[:, 0].numel() for (x,), _ in record(encoder, layer))
        return (energy / frames * layer.weight[:, unit].double().square().sum()).item()
    energy = frames = 0
    for (x,), _ in record(encoder, layer):
        if type(layer) is torch.nn.Conv1d:
            x = x.transpose(1, 2)
        width = x.shape[-1] // group.num_units
        for entry in range(unit * width, (unit + 1) * width):
            taps = layer.weight[:, entry].reshape(layer.weight.shape[0], -1)
            for tap in taps.unbind(1):
                added = x[0, :, entry, None].double() * tap.double()
                energy += added.square().sum().item()
        frames += x.shape[1]
    return energy / frames


def attended(encoder, group, unit):
    """Mean square of what a query unit adds to the scores, over all pairs."""
    attention = encoder.encoders[group.block].self_attn
    q, k = (
        rows(o for _, o in record(encoder, getattr(attention, name)))[:, unit]
        for name in ("linear_q", "linear_k")
    )
    if not hasattr(attention, "linear_pos"):
        return torch.outer(q, k).square().mean().item()
    p = rows(o for _, o in record(encoder, attention.linear_pos))[:, unit]
    u = attention.pos_bias_u.flatten()[unit].double()
    w = attention.pos_bias_v.flatten()[unit].double()
    with_keys = torch.outer(q + u, k).square().mean()
    return (with_keys + torch.outer(q + w, p).square().mean()).item()


def check(encoder, group, scores):
    energy = attended if group.location == "query" else contribution
    found = [energy(encoder, group, unit) for unit in range(group.num_units)]
    expected = torch.tensor(found) / sum(found) * influence(encoder, group)
    assert expected.max() > 0
    assert torch.allclose(scores[group.span], expected.float(), rtol=1e-4), group


@torch.no_grad()
@pytest.mark.parametrize("location", names_of("encoder"))
def test_scores_are_the_contributions_of_single_units(location):
    encoder = adaptive(options_of("latest"))
    scores = activation_scores(encoder.units, encoder, utterances())
    groups = [g for g in encoder.units.groups if g.location == location]
    assert groups
    for group in groups:
        check(encoder, group, scores)


@torch.no_grad()
@pytest.mark.parametrize("architecture", OTHERS)
def test_scores_of_other_encoders(architecture):
    encoder = adaptive(options_of(architecture))
    scores = activation_scores(encoder.units, encoder, utterances())
    assert scores.shape == (encoder.units.num_units,)
    for group in encoder.units.groups:
        if group.block in (None, 0):
            check(encoder, group, scores)


@torch.no_grad()
def test_an_encoder_that_is_silent_scores_nothing():
    encoder = adaptive(options_of("latest"))
    for name, tensor in encoder.state_dict().items():
        if "feed_forward.w_1" in name:
            tensor.zero_()
    scores = activation_scores(encoder.units, encoder, utterances())
    for group in encoder.units.groups:
        silent = not scores[group.span].any()
        assert silent == (group.location == "ffn")


def scores_of(directory, **conf):
    trained = open_trained(directory / "config.yaml", directory / "valid.pth")
    options = PruneOptions(criterion="activation", criterion_conf=conf)
    return trained, rank(trained, options).scores


def test_no_labels_are_read(tmp_path):
    directory = tmp_path / "exp"
    make_experiment(directory, "conformer")
    (directory / "text").unlink()
    trained, scores = scores_of(directory)
    _, one = scores_of(directory, utterances=1)
    assert (scores > 0).any() and not torch.equal(scores, one)
    compact = run_prune(
        directory, "--criterion", "activation", "--target_reduction", "0.3"
    )
    assert (compact / "plan.yaml").exists()


def test_units_that_the_training_removed_score_nothing(tmp_path):
    make_experiment(tmp_path / "exp", locations="all")
    trained, scores = scores_of(tmp_path / "exp")
    own = trained.own_keep()
    assert 0 < own.sum() < len(own)
    assert not scores[~own].any() and (scores[own] > 0).float().mean() > 0.9


def test_what_is_refused(tmp_path):
    directory = tmp_path / "exp"
    make_experiment(directory, "conformer")
    options = ("--criterion", "activation", "--target_reduction", "0.3")
    more = ("--of", "model")
    assert "choose taylor or magnitude" in refused_prune(directory, *options, *more)
    more = ("--criterion_conf", "utterances=0")
    assert "utterances=0: must be a whole" in refused_prune(directory, *options, *more)
