import pytest
import torch
import yaml
from support import decoders
from support.encoders import adaptive, batch, options_of
from support.experiments import make_experiment, model_options

from espnet_adaptive_dropout.bin import prune
from espnet_adaptive_dropout.modules.attention import forget_weights
from espnet_adaptive_dropout.pruning.open_trained import open_trained
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.prune import rank
from espnet_adaptive_dropout.pruning.taylor import (
    mask_gradients,
    taylor_scores,
    unit_masks,
)
from espnet_adaptive_dropout.report.memory import peak_bytes
from espnet_adaptive_dropout.units.locations import LOCATIONS, names_of


def loss_of(encoder, inputs):
    """A smooth function of all real outputs."""
    outputs, lengths, _ = encoder(*inputs)
    real = torch.arange(outputs.size(1))[None, :] < lengths[:, None]
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(outputs.shape, generator=generator).to(outputs)
    return ((outputs * weights)[real].tanh()).sum()


def products(table, stack, loss):
    """Sums of weight times gradient on one side of each mask: the same by the weights.

    A mask in front of a linear layer scales its weights, and one behind its output
    scales them too.
    """
    slices = [
        (group, part, parameters[part.name])
        for group in table.groups
        for parameters in [parameters_of(stack, group)]
        for part in group.location_spec.slices
        if part.name in group.location_spec.masked and part.name in parameters
    ]
    weights = [parameter for _, _, parameter in slices]
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    result = torch.zeros(table.num_units, dtype=torch.float64)
    for (group, part, parameter), gradient in zip(slices, gradients):
        if gradient is not None:
            entries = part.by_unit(parameter.detach() * gradient, group.num_units)
            result[group.span] += entries.sum(dim=1)
    return result


def parameters_of(stack, group):
    module = getattr(group.owner(stack), group.location_spec.module)
    return dict(module.named_parameters())


def put_masks(table):
    """Let every gate multiply by a leaf of ones; returns them by group."""
    masks = {}

    def show(mask):
        return lambda shape, dtype: mask.to(dtype).expand(1, *shape[1:])

    for key, gate in table.gates.items():
        masks[key] = torch.ones(gate.num_units, dtype=torch.float64, requires_grad=True)
        gate.mask = show(masks[key])
    return masks


@pytest.mark.parametrize(
    "architecture", ["latest", "legacy", "absolute", "conv1d", "conv1d_linear", "relu"]
)
def test_equals_the_products_of_weights_and_gradients(architecture):
    encoder = adaptive(options_of(architecture)).double()
    features, lengths = batch()
    check(encoder, lambda: loss_of(encoder, (features.double(), lengths)))


@pytest.mark.parametrize("architecture", ["pre_norm", "post_norm", "concat_after"])
def test_gradients_of_a_decoder_are_those_of_its_weights(architecture):
    options = decoders.ARCHITECTURES[architecture]
    stock = decoders.stock_decoder(**options)
    decoder = decoders.adaptive_decoder(stock, **options).double()
    memory, *others = decoders.teacher_forced()
    check(decoder, lambda: decoder(memory.double(), *others)[0].tanh().square().sum())


def check(stack, loss):
    table = stack.units
    expected = products(table, stack, loss())
    with unit_masks(table) as masks:
        actual = mask_gradients(table, masks, loss())
    assert set(masks) == {(g.block, g.location) for g in table.groups}
    assert all("mask" not in vars(gate) for gate in table.gates.values())
    for group in table.groups:
        gradient = expected[group.span]
        assert gradient.abs().max() > 1e-4, group
        assert torch.allclose(actual[group.span].double(), gradient, 1e-4, 1e-6), group


@pytest.mark.parametrize("location", names_of("encoder"))
def test_equals_finite_differences(location):
    encoder = adaptive(options_of("latest")).double()
    features, lengths = batch()
    inputs = (features.double(), lengths)
    with unit_masks(encoder.units) as leaves:
        actual = mask_gradients(encoder.units, leaves, loss_of(encoder, inputs))
    masks = put_masks(encoder.units)
    for group in encoder.units.groups:
        if group.location != location:
            continue
        mask, unit, step = masks[(group.block, location)], group.num_units // 3, 1e-5
        with torch.no_grad():
            mask[unit] = 1 + step
            above = loss_of(encoder, inputs)
            mask[unit] = 1 - step
            below = loss_of(encoder, inputs)
            mask[unit] = 1
        slope = (above - below).item() / (2 * step)
        assert actual[group.start + unit].item() == pytest.approx(slope, rel=1e-4)


def test_masked_tensors_are_among_the_slices_of_their_location():
    for location in LOCATIONS.values():
        assert set(location.masked) <= {part.name for part in location.slices}


class Model(torch.nn.Module):
    """What Taylor needs of an ESPnet model."""

    def __init__(self, **options):
        super().__init__()
        self.encoder = adaptive({**options_of("latest"), **options})

    def forward(self, utt_id, features, lengths):
        return loss_of(self.encoder, (features, lengths)), {}, None


def test_scores_are_the_mean_of_the_squares():
    model = Model().eval()
    table = model.encoder.units
    batches = []
    squares = torch.zeros(table.num_units)
    for seed in (0, 1):
        features, lengths = batch(seed=seed)
        batches.append((["a", "b", "c"], dict(features=features, lengths=lengths)))
        loss = loss_of(model.encoder, (features, lengths))
        squares += products(table, model.encoder, loss).float() ** 2
    required = [parameter.requires_grad for parameter in model.parameters()]
    scores = taylor_scores(table, model, batches, 2)
    assert required == [one.requires_grad for one in model.parameters()]
    assert torch.allclose(scores, squares / 2, rtol=1e-4)


def test_only_the_inputs_of_blocks_are_kept():
    model = Model(num_blocks=6, input_layer="linear").eval().requires_grad_(False)
    forget_weights(model)
    table = model.encoder.units
    features, lengths = batch()
    batches = [(["a", "b", "c"], dict(features=features, lengths=lengths))]
    calls = []
    for block in model.encoder.encoders:
        block.norm_ff.register_forward_hook(lambda *_: calls.append(1))
    kept = peak_bytes(lambda: taylor_scores(table, model, batches, 1), [features])
    blocks = len(model.encoder.encoders)
    assert len(calls) == 2 * blocks
    assert all("forward" not in vars(block) for block in model.encoder.encoders)

    def all_at_once():
        with unit_masks(table) as masks:
            mask_gradients(table, masks, loss_of(model.encoder, (features, lengths)))

    assert kept < 0.5 * peak_bytes(all_at_once, [features])


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "exp"


def scores_of(directory, **conf):
    trained = open_trained(directory / "config.yaml", directory / "valid.pth")
    conf = {"batches": 2, "batch_size": 1, **conf}
    ranking = rank(trained, PruneOptions(criterion="taylor", criterion_conf=conf))
    return trained, ranking.scores


def test_useless_units_of_a_stock_model_score_nothing(directory):
    model = make_experiment(directory, "conformer")
    with torch.no_grad():
        model.encoder.encoders[1].feed_forward.w_2.weight[:, 3] = 0.0
        model.encoder.encoders[0].self_attn.linear_v.weight[5] = 0.0
        model.encoder.encoders[0].self_attn.linear_v.bias[5] = 0.0
    torch.save(model.state_dict(), directory / "valid.pth")
    trained, scores = scores_of(directory)
    useless = {(1, "ffn", 3), (0, "value", 5)}
    for group in trained.table.groups:
        for unit, score in enumerate(scores[group.span].tolist()):
            expected = (group.block, group.location, unit) in useless
            # A channel of the input layer may be dead: its ReLU is always zero.
            assert (score == 0) == expected or group.block is None


def test_units_that_the_training_removed_score_nothing(directory):
    model = make_experiment(directory)
    trained, scores = scores_of(directory)
    own = trained.own_keep()
    table = model.encoder.units
    keep = ~table.gated()
    keep[table.gated()] = table.logits() > 0
    assert torch.equal(own, table.without_unused(keep))
    gated = table.gated()
    assert 0 < own[gated].sum() < gated.sum()
    assert torch.equal(scores[gated] > 0, own[gated])


def test_options(directory):
    make_experiment(directory, "conformer")
    trained, scores = scores_of(directory)
    _, same = scores_of(directory)
    _, other = scores_of(directory, seed=2)
    _, relative = scores_of(directory, norm_by_group=True)
    assert torch.equal(scores, same)
    assert not torch.equal(scores, other)
    for group in trained.table.groups:
        part = scores[group.span]
        assert torch.allclose(relative[group.span], part / part.mean(), rtol=1e-4)


@pytest.mark.parametrize("encoder", ["conformer", "adaptive_dropout_conformer"])
def test_prunes_to_the_size_asked_for(directory, encoder):
    make_experiment(directory, encoder)
    compact = directory.parent / "compact"
    prune.main(command(directory, compact))
    plan = yaml.safe_load((compact / "plan.yaml").read_text())
    assert plan["criterion"] == "taylor"
    assert plan["reduction"] == pytest.approx(0.3, abs=0.01)


def command(directory, compact, *conf):
    options = ["batches=1", "batch_size=2", *conf]
    return [
        *model_options(directory),
        *("--output_dir", str(compact), "--target_reduction", "0.3"),
        *("--criterion", "taylor"),
        *(word for option in options for word in ("--criterion_conf", option)),
    ]


def test_no_training_data_in_the_config(directory):
    make_experiment(directory, "conformer")
    config = yaml.safe_load((directory / "config.yaml").read_text())
    del config["train_data_path_and_name_and_type"]
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit, match="names no train data: pass --criterion_conf"):
        prune.main(command(directory, directory.parent / "compact"))
