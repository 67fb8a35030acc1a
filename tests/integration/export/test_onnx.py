import builtins

import numpy as np
import onnx
import pytest
import torch
from support.encoders import (
    ARCHITECTURES,
    adaptive,
    compact_of,
    emptied,
    options_of,
    random_keep,
    stock_of,
    void_heads,
)

from espnet_adaptive_dropout.export.onnx import (
    OnnxEncoder,
    export_onnx,
    quantize_onnx,
)
from espnet_adaptive_dropout.export.positions import free_positions

# What differs in the graph: positions, input layers, kinds of layers.
EXPORTED = ["latest", "legacy", "zero_triu", "absolute", "scaled_absolute"]
EXPORTED += ["conv_positions", "conv1d", "post_norm", "interctc", "linear_input"]
EXPORTED += ["conv2d6", "conv2d8", "no_input_layer", "embed"]
EXPORTED += [name for name in ARCHITECTURES if name.startswith("sdpa")]
# Of each padded batch the lengths: shorter and longer than the exporter's example.
BATCHES = ([33], [70, 51, 38], [41, 60], [450, 200])


def frames(options, lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    if options.get("input_layer") == "embed":
        return torch.randint(0, options["input_size"], shape, generator=generator)
    return torch.randn(*shape, options["input_size"], generator=generator)


@torch.no_grad()
def largest_difference(encoder, exported, options, lengths) -> float:
    """Of the real frames, relative to the largest output; lengths must agree."""
    features = frames(options, lengths)
    expected, expected_lengths, _ = encoder(features, torch.tensor(lengths))
    if isinstance(expected, tuple):
        expected = expected[0]
    actual, actual_lengths = exported(features.numpy(), np.array(lengths))
    assert actual_lengths.tolist() == expected_lengths.tolist()
    assert actual.shape == expected.shape and actual.dtype == np.float32
    real = torch.arange(expected.size(1))[None, :] < expected_lengths[:, None]
    difference = (torch.from_numpy(actual) - expected)[real].abs().max()
    return (difference / expected[real].abs().max()).item()


def check(encoder, options, path):
    export_onnx(encoder, options["input_size"], path)
    exported = OnnxEncoder(path)
    for lengths in BATCHES:
        assert largest_difference(encoder, exported, options, lengths) < 1e-5
    return exported


@pytest.mark.parametrize("architecture", EXPORTED)
def test_ragged_compact_encoder_at_any_length_and_batch(architecture, tmp_path):
    options = {**options_of("latest"), "input_layer": "embed"}
    if architecture != "embed":
        options = options_of(architecture)
    encoder = adaptive(options)
    compact = compact_of(encoder, options, random_keep(encoder.units))
    check(compact, options, tmp_path / "encoder.onnx")


def test_stock_encoder(tmp_path):
    options = options_of("latest")
    check(stock_of(adaptive(options), options), options, tmp_path / "encoder.onnx")


CUTS = {
    "everything": lambda units: random_keep(units, 0.0),
    "void heads": void_heads,
    "subsampling": lambda units: emptied(units, "subsampling_1", block=None),
    "query and conv_input": lambda units: emptied(units, "query", "conv_input"),
    **{
        name: lambda units, name=name: emptied(units, name)
        for name in ("ffn", "query", "value", "conv_input", "conv_channel")
    },
}


@pytest.mark.parametrize("cut", CUTS)
def test_emptied_modules_and_heads(cut, tmp_path):
    options = options_of("latest")
    encoder = adaptive(options)
    compact = compact_of(encoder, options, CUTS[cut](encoder.units))
    check(compact, options, tmp_path / "encoder.onnx")


def test_no_units_are_collected_one_by_one_in_attentions(tmp_path):
    options = options_of("latest")
    encoder = adaptive(options)
    compact = compact_of(encoder, options, random_keep(encoder.units))
    groups = [len(layer.self_attn.query_grids) for layer in compact.encoders]
    check(compact, options, tmp_path / "encoder.onnx")
    assert groups == [len(layer.self_attn.query_grids) for layer in compact.encoders]
    graph = onnx.load(tmp_path / "encoder.onnx").graph
    large = [i.name for i in graph.initializer if np.prod(i.dims) > 1]
    gathered = [n.name for n in graph.node if n.op_type == "Gather"]
    collected = [
        n.name for n in graph.node if n.op_type == "Gather" and n.input[1] in large
    ]
    assert gathered and all("conv_module" in name for name in collected)


@pytest.mark.parametrize(
    "architecture", ["latest", "legacy", "absolute", "scaled_absolute"]
)
def test_positions_beyond_the_table_that_espnet_keeps(architecture):
    options = {**options_of(architecture), "max_pos_emb_len": 30, "num_blocks": 1}
    encoder = stock_of(adaptive(options), options)
    free = stock_of(adaptive(options), options)
    free_positions(free)
    for frames_ in (100, 500):
        features, lengths = torch.randn(1, frames_, 20), torch.tensor([frames_])
        with torch.no_grad():
            expected, actual = (e(features, lengths)[0] for e in (encoder, free))
        torch.testing.assert_close(actual, expected, rtol=0, atol=2e-6)


def test_the_encoder_stays_as_it_was_and_no_table_is_stored(tmp_path):
    options = options_of("latest")
    encoder = stock_of(adaptive(options), options).train()
    positions = encoder.embed.pos_enc if hasattr(encoder.embed, "pos_enc") else None
    path = tmp_path / "encoder.onnx"
    export_onnx(encoder, options["input_size"], path)
    assert encoder.training
    if positions is not None:
        assert encoder.embed.pos_enc is positions
    weights = sum(4 * p.numel() for p in encoder.parameters())
    assert path.stat().st_size < weights + 150_000
    assert not list(tmp_path.glob("*.partial"))


def test_quantised_form_is_close_and_leaves_convolutions_alone(tmp_path):
    options = options_of("latest")
    encoder = adaptive(options)
    compact = compact_of(encoder, options, random_keep(encoder.units))
    path, int8_path = tmp_path / "encoder.onnx", tmp_path / "encoder.int8.onnx"
    export_onnx(compact, options["input_size"], path)
    quantize_onnx(path, int8_path)
    exported = OnnxEncoder(int8_path, threads=2)
    differences = [
        largest_difference(compact, exported, options, lengths) for lengths in BATCHES
    ]
    assert 1e-5 < max(differences) < 0.1
    before, after = (
        [node.op_type for node in onnx.load(p).graph.node] for p in (path, int8_path)
    )
    assert "MatMulInteger" in after
    assert before.count("Conv") == after.count("Conv") > 0
    assert not list(tmp_path.glob("*.partial"))


def test_what_cannot_be_exported_ends_in_one_line(tmp_path):
    options = options_of("latest")
    encoder = stock_of(adaptive(options), options)
    with pytest.raises(
        ValueError, match="cannot be exported as ONNX: .*mat1"
    ) as raised:
        export_onnx(encoder, 23, tmp_path / "encoder.onnx")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_broken_file_ends_in_one_line(tmp_path):
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"not ONNX")
    with pytest.raises(ValueError, match="encoder.onnx: onnxruntime cannot read it"):
        OnnxEncoder(path)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(package, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=f"{package} is missing: pip install onnx"):
        if package == "onnx":
            export_onnx(torch.nn.Identity(), 20, tmp_path / "encoder.onnx")
        else:
            OnnxEncoder(tmp_path / "encoder.onnx")
