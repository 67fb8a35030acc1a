"""Random architectures and cuts against the oracle of ``support/oracle.py``.

A few cases in the suite, always the same; many new ones with ``--fuzz-examples N``.
"""

from __future__ import annotations

import copy
import inspect
import io

import torch
import yaml
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from hypothesis import event, given, target
from hypothesis import strategies as st
from support import oracle

from espnet_adaptive_dropout.encoders.adaptive import AdaptiveDropoutConformerEncoder
from espnet_adaptive_dropout.encoders.compact import CompactConformerEncoder
from espnet_adaptive_dropout.export.onnx import OnnxEncoder, export_onnx
from espnet_adaptive_dropout.modules.compact_attention import CompactAttention
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.trained import set_masks
from espnet_adaptive_dropout.units.encoder_cost import mac_cost
from espnet_adaptive_dropout.units.surgery import cut_weights
from espnet_adaptive_dropout.units.widths import compact_options, format_indices

HAS_SDPA = "use_sdpa" in inspect.signature(ConformerEncoder.__init__).parameters
GRADIENT = 1e-10


@st.composite
def architectures(draw) -> dict:
    """encoder_conf of a stock Conformer, without dropout."""
    heads, blocks = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    positions = draw(st.sampled_from(["latest", "legacy", "abs", "scaled_abs", "conv"]))
    size = 16 if positions == "conv" else 2 * heads * draw(st.integers(1, 4))
    if positions == "conv":
        heads = draw(st.sampled_from([1, 2, 4, 8]))
    options = dict(
        output_size=size,
        attention_heads=heads,
        num_blocks=blocks,
        linear_units=draw(st.integers(1, 12)),
        input_size=draw(st.integers(20, 33)),
        input_layer=draw(
            st.sampled_from(
                ["conv2d", "conv2d1", "conv2d2", "conv2d6", "conv2d8", "linear", None]
            )
        ),
        macaron_style=draw(st.booleans()),
        use_cnn_module=draw(st.booleans()),
        cnn_module_kernel=draw(st.sampled_from([1, 3, 15])),
        positionwise_layer_type=draw(
            st.sampled_from(["linear", "linear", "conv1d", "conv1d-linear"])
        ),
        positionwise_conv_kernel_size=draw(st.sampled_from([1, 3])),
        activation_type=draw(st.sampled_from(["swish", "relu", "tanh", "hardtanh"])),
        normalize_before=draw(st.booleans()),
        concat_after=draw(st.booleans()),
        interctc_layer_idx=[1] if blocks == 2 and draw(st.booleans()) else [],
        dropout_rate=0.0,
        positional_dropout_rate=0.0,
    )
    if options["input_layer"] is None:
        options["input_size"] = size
    if positions in ("latest", "legacy"):
        options["rel_pos_type"] = positions
        options["zero_triu"] = positions == "latest" and draw(st.booleans())
    else:
        name = "conv" if positions == "conv" else f"{positions}_pos"
        options.update(pos_enc_layer_type=name, selfattention_layer_type="selfattn")
    if HAS_SDPA:
        options["use_sdpa"] = draw(st.booleans())
    return options


@st.composite
def kept(draw, units: int, heads: int) -> torch.Tensor:
    """Which units of a group stay: all, none, one, any, or some heads."""
    kind = draw(st.sampled_from(["all", "none", "one", "any", "any", "heads"]))
    if kind in ("all", "none"):
        return torch.full((units,), kind == "all")
    if kind == "one":
        return torch.arange(units) == draw(st.integers(0, units - 1))
    bits = draw(st.integers(0, 2**units - 1))
    keep = torch.tensor([bool(bits >> unit & 1) for unit in range(units)])
    if kind == "heads" and units % heads == 0:
        alive = draw(st.lists(st.booleans(), min_size=heads, max_size=heads))
        keep = (keep.view(heads, -1) & torch.tensor(alive)[:, None]).flatten()
    return keep


@st.composite
def cases(draw):
    """Options, units that stay, seed, batch size, frames beyond the fewest, rows."""
    options = draw(architectures())
    heads = options["attention_heads"]
    keep = {
        group: draw(kept(units, heads if group[1] in ("query", "value") else 1))
        for group, units in oracle.widths(options).items()
    }
    extra = draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))
    return options, keep, draw(st.integers(0, 999)), extra, draw(st.integers(1, 5))


def plan_of(keep: oracle.Keep, blocks: int) -> PruningPlan:
    """The plan that keeps these units, by way of its text."""
    owners = {None: {}, **{block: {} for block in range(blocks)}}
    for (block, location), units in keep.items():
        owners[block][location] = format_indices(units.nonzero().flatten().tolist())
    input_layer = owners.pop(None)
    return PruningPlan(
        "fuzz", None, "parameters", 0, 0, 0, 0, [*owners.values()], input_layer
    )


def adaptive_of(stock, options) -> AdaptiveDropoutConformerEncoder:
    """The encoder with a gate at every location and the weights of ``stock``."""
    encoder = AdaptiveDropoutConformerEncoder(
        **options, adaptive_dropout_conf=dict(control="schedule", locations="all")
    ).double()
    encoder.is_second_pass = True  # a pass is no training step
    encoder.load_state_dict({**encoder.state_dict(), **stock.state_dict()})
    return encoder.eval()


def compact_of(state, options, table, keep) -> CompactConformerEncoder:
    """The compact encoder, by way of its config and its checkpoint as written."""
    file = io.BytesIO()
    torch.save(cut_weights(state, table, keep, ""), file)
    file.seek(0)
    written = yaml.safe_dump({**options, **compact_options(table, keep)})
    encoder = CompactConformerEncoder(**yaml.safe_load(written)).double()
    encoder.load_state_dict(torch.load(file, weights_only=True))
    return encoder.eval()


def gradients(encoder, loss) -> dict:
    """Gradients by name, 0 where the loss does not depend on a weight."""
    named = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, [*named.values()], materialize_grads=True)
    return dict(zip(named, found))


def check_gradients(stock, factor, masked, compact, table, keep, inputs) -> None:
    """In training, masked and compact encoder have the gradients of the oracle."""
    lengths = oracle.run(stock, factor, *inputs)[1]
    if len(lengths) * lengths.max() > 1:  # batch normalisation refuses one frame
        for encoder in (stock, masked, compact):
            encoder.train()
    frames = oracle.real_frames(oracle.run(stock, factor, *inputs))
    probe = torch.randn_like(frames)
    expected = gradients(stock, (frames * probe).sum())
    largest = max(gradient.abs().max() for gradient in expected.values())
    scale = GRADIENT * largest

    found = gradients(masked, (oracle.real_frames(masked(*inputs)) * probe).sum())
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() <= scale, name

    # Where in the whole tensors the entries of the compact ones come from.
    state = stock.state_dict()
    number = {n: torch.arange(t.numel()).view(t.shape) for n, t in state.items()}
    origin = cut_weights(number, table, keep, "")
    found = gradients(compact, (oracle.real_frames(compact(*inputs)) * probe).sum())
    for name, gradient in found.items():
        whole = expected[name].flatten()[origin[name].flatten()]
        assert (gradient.flatten() - whole).abs().le(scale).all(), name


def check_costs(stock, options, compact, encoder, keep, closed, features) -> None:
    """Parameters and MACs that the package says a cut saves."""
    heads = options["attention_heads"]
    table, plan = encoder.units, plan_of(keep, options["num_blocks"])
    gone = ~plan_of(closed, options["num_blocks"]).keep(table)
    whole = oracle.factors(stock, closed, whole=True)
    total = sum(p.numel() for p in stock.parameters())
    removed = sum(int((factor == 0).sum()) for factor in whole.values())
    assert table.parameters.total == total
    assert table.removed(plan.keep(table)) == removed
    assert sum(p.numel() for p in compact.parameters()) == total - removed

    full = {group: torch.ones_like(units) for group, units in keep.items()}
    inputs = features[:1], torch.tensor([features.size(1)])
    cost = mac_cost(encoder, table.groups, inputs)
    before = oracle.macs(stock, full, heads, inputs[0])
    assert cost.total == before
    after = oracle.macs(compact, closed, heads, inputs[0])
    assert round(cost.removed(gone).item()) == before - after


def check_onnx(compact, options, inputs, path) -> None:
    """The exported encoder computes the same, in single precision."""
    compact = copy.deepcopy(compact).float()
    features, lengths = inputs[0].float(), inputs[1]
    export_onnx(compact, options["input_size"], path)
    output, output_lengths = OnnxEncoder(path)(features.numpy(), lengths.numpy())
    with torch.no_grad():
        expected, expected_lengths, _ = compact(features, lengths)
    expected = expected[0] if isinstance(expected, tuple) else expected
    result = torch.from_numpy(output), torch.from_numpy(output_lengths), None
    assert result[1].tolist() == expected_lengths.tolist()
    actual = oracle.real_frames(result)
    expected = oracle.real_frames((expected, expected_lengths, None))
    assert oracle.relative_difference(actual, expected) < 1e-4


@given(cases())
def test_random_encoders(tmp_path_factory, case):
    options, keep, seed, extra, rows = case
    stock = oracle.stock_encoder(options, seed)
    closed = oracle.without_unused(keep, options["attention_heads"])
    factor = oracle.factors(stock, keep)
    fewest = oracle.shortest(stock)
    lengths = torch.tensor([fewest + more for more in extra])
    size = (len(lengths), int(lengths.max()), options["input_size"])
    inputs = torch.randn(size, dtype=torch.double), lengths

    masked = adaptive_of(stock, options)
    table = masked.units
    decided = plan_of(closed, options["num_blocks"]).keep(table)
    set_masks(table, decided)
    compact = compact_of(stock.state_dict(), options, table, decided)
    for module in compact.modules():
        if isinstance(module, CompactAttention) and module.rows is not None:
            module.rows = rows

    if seed % 16 == 0:
        event("exported")
        path = tmp_path_factory.mktemp("onnx") / "encoder.onnx"
        check_onnx(compact, options, inputs, path)
    with torch.no_grad():
        result = oracle.run(stock, factor, *inputs)
        expected = oracle.real_frames(result)
        outputs = [encoder(*inputs) for encoder in (masked, compact)]
    outputs.append(compact(*inputs))  # with gradients: computed another way
    for output in outputs:
        assert torch.equal(output[1], result[1])
        difference = oracle.relative_difference(oracle.real_frames(output), expected)
        assert difference <= 1e-12
    target(difference)

    check_costs(stock, options, compact, masked, keep, closed, inputs[0])
    check_gradients(stock, factor, masked, compact, table, decided, inputs)
