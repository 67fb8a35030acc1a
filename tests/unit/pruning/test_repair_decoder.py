"""``adaprune prune --repair true`` of a decoder."""

import argparse
import functools
import json

import numpy as np
import pytest
import torch
from support.decoders import (
    ARCHITECTURES,
    HEADS,
    HIDDEN,
    LAYERS,
    SIZE,
    VOCABULARY,
    adaptive_decoder,
    keep_of,
    narrow_pair,
    random_kept,
    stock_decoder,
)
from support.experiments import (
    make_experiment,
    refused_prune,
    run_prune,
    write_audio,
    write_text,
)

from espnet_adaptive_dropout.experiments.experiment import (
    load_config,
    load_task,
    open_model,
)
from espnet_adaptive_dropout.experiments.features import Inputs
from espnet_adaptive_dropout.pruning.repair import repair as repair_module
from espnet_adaptive_dropout.pruning.repair.least_squares import STRENGTH, solve
from espnet_adaptive_dropout.pruning.repair.places import places_of
from espnet_adaptive_dropout.pruning.repair.repair import repair
from espnet_adaptive_dropout.units.locations import LOCATIONS

NAMES = ["self_attention", "source_attention", "ffn"]
WORDS = ("--criterion", "random", "--target_reduction", "0.3", "--repair", "true")


def utterances(count=40, seed=0):
    """Decoder inputs of single utterances of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for index in range(count):
        time, tokens = 6 + index % 5, 4 + index % 7
        options = dict(
            ys_in_pad=torch.randint(VOCABULARY, (1, tokens), generator=generator),
            ys_in_lens=torch.tensor([tokens]),
        )
        memory = torch.randn(1, time, SIZE, generator=generator)
        found.append(Inputs(memory, torch.tensor([time]), options))
    return found


def disturbed(inputs):
    """The same utterances after an encoder that is not quite the same."""
    generator = torch.Generator().manual_seed(9)
    return [
        Inputs(
            one.features + 0.1 * torch.randn(one.features.shape, generator=generator),
            one.lengths,
            one.options,
        )
        for one in inputs
    ]


def decoders(kept, **options):
    """Decoder with gates of which all are open, and the cut one."""
    stock = stock_decoder(**options)
    return adaptive_decoder(stock, **options), narrow_pair(kept, **options)[1]


def everything():
    per_head = [list(range(SIZE // HEADS))] * HEADS
    names = ("self_query", "self_value", "source_query", "source_value")
    return [
        {"ffn": list(range(HIDDEN)), **{name: per_head for name in names}}
        for _ in range(LAYERS)
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(architecture):
    options = ARCHITECTURES[architecture]
    original, compact = decoders(random_kept(0.6), **options)
    inputs = utterances()
    result = repair(original, compact, inputs, disturbed(inputs))
    assert (result.utterances, result.held_out) == (32, 8)
    order = [(layer, name) for layer in range(LAYERS) for name in NAMES]
    assert [(one.block, one.layer) for one in result.layers] == order
    assert {one.result for one in result.layers} <= {"repaired", "kept"}
    assert all(one.after <= one.before for one in result.layers)
    assert result.used and result.after < result.before


def test_every_location_is_read_by_a_layer_that_is_repaired():
    original, compact = decoders(everything())
    places = list(places_of(original, compact))
    for layer, block in zip(compact.decoders, range(LAYERS)):
        found = {id(place.layer) for place in places if place.block == block}
        for location in LOCATIONS.values():
            if location.stack == "decoder":
                modules = getattr(layer, location.module).modules()
                assert len(found & {id(module) for module in modules}) == 1


class Oracle:
    """Repairs ESPnet's decoder with zeros for what is gone, by NumPy on one batch.

    Args:
        kept: kept units of every layer.
        options: constructor arguments of ESPnet's decoder.
    """

    def __init__(self, kept, **options):
        self.kept = kept
        self.stock = stock_decoder(**options)
        self.zeroed, _ = narrow_pair(kept, **options)

    def repair(self, inputs, changed):
        for number in range(LAYERS):
            for part in range(3):
                x, wanted, present = self.read(inputs, changed, number, part)
                self.solve(number, part, x, wanted - present)

    def read(self, inputs, changed, number, part):
        """Inputs of a last layer, and the sum after its module in both decoders."""
        _, wanted = self.run(self.stock, inputs, number, part)
        x, present = self.run(self.zeroed, changed, number, part)
        return x.numpy(), wanted.numpy(), present.numpy()

    def last(self, decoder, number, part):
        layer = decoder.decoders[number]
        return [
            layer.self_attn.linear_out,
            layer.src_attn.linear_out,
            layer.feed_forward.w_2,
        ][part]

    def run(self, decoder, inputs, number, part):
        """Of real tokens: inputs of the layer, and the sum that it adds to."""
        layer = decoder.decoders[number]
        after = [layer.norm2, layer.norm3]
        followers = [*decoder.decoders[1:], decoder.after_norm]
        after.append(followers[number])
        found = []

        def note(module, args):
            found.append(args[0].double())

        hooks = [self.last(decoder, number, part), after[part]]
        handles = [module.register_forward_pre_hook(note) for module in hooks]
        memory, lengths, tokens, counts = padded(inputs)
        with torch.no_grad():
            decoder(memory, lengths, tokens, counts)
        for handle in handles:
            handle.remove()
        real = torch.arange(tokens.size(1))[None, :] < counts[:, None]
        return [tensor[real] for tensor in found]

    def columns(self, number, part):
        if part == 2:
            return self.kept[number]["ffn"]
        heads = self.kept[number][["self_value", "source_value"][part]]
        width = SIZE // HEADS
        return [width * h + unit for h, some in enumerate(heads) for unit in some]

    def solve(self, number, part, x, missing):
        """Add the ridge solution of what is missing to the kept columns."""
        columns = self.columns(number, part)
        x = x[:, columns]
        strength = STRENGTH * np.mean(np.sum(x**2, axis=0))
        centred, wanted = x - x.mean(axis=0), missing - missing.mean(axis=0)
        rows = np.concatenate([centred, np.sqrt(strength) * np.eye(len(columns))])
        right = np.concatenate([wanted, np.zeros((len(columns), SIZE))])
        change, *_ = np.linalg.lstsq(rows, right, rcond=None)
        layer = self.last(self.zeroed, number, part)
        with torch.no_grad():
            layer.weight[:, columns] += torch.tensor(change.T).float()
            bias = missing.mean(axis=0) - x.mean(axis=0) @ change
            layer.bias += torch.tensor(bias).float()


def padded(inputs):
    """One batch of all utterances, with noise where there is padding."""
    lengths = torch.cat([one.lengths for one in inputs])
    counts = torch.cat([one.options["ys_in_lens"] for one in inputs])
    generator = torch.Generator().manual_seed(7)
    shape = (len(inputs), int(lengths.max()), SIZE)
    memory = 100 * torch.randn(shape, generator=generator)
    shape = (len(inputs), int(counts.max()))
    tokens = torch.randint(VOCABULARY, shape, generator=generator)
    for row, one in enumerate(inputs):
        memory[row, : lengths[row]] = one.features[0]
        tokens[row, : counts[row]] = one.options["ys_in_pad"][0]
    return memory, lengths, tokens, counts


def test_weights_are_those_of_least_squares_on_one_padded_batch():
    """Utterance by utterance, and against ESPnet's decoder and NumPy."""
    kept = random_kept(0.6)
    oracle = Oracle(kept)
    original, compact = decoders(kept)
    inputs = utterances(200)
    changed = disturbed(inputs)
    result = repair(original, compact, inputs, changed)
    assert {one.result for one in result.layers} == {"repaired"}
    fitted = [index for index in range(len(inputs)) if index % 5 < 4]
    oracle.repair([inputs[i] for i in fitted], [changed[i] for i in fitted])
    for number in range(LAYERS):
        for part in range(3):
            expected = oracle.last(oracle.zeroed, number, part)
            found = oracle.last(compact, number, part)
            columns = oracle.columns(number, part)
            assert torch.allclose(found.weight, expected.weight[:, columns], atol=1e-4)
            assert torch.allclose(found.bias, expected.bias, atol=1e-4)
    batch = padded(changed)
    with torch.no_grad():
        difference = oracle.zeroed(*batch)[0] - compact(*batch)[0]
    real = torch.arange(difference.size(1))[None, :] < batch[3][:, None]
    assert difference[real].abs().max() < 1e-3


def test_nothing_to_repair():
    original, compact = decoders(everything())
    before = {name: tensor.clone() for name, tensor in compact.state_dict().items()}
    result = repair(original, compact, utterances(5))
    assert {one.result for one in result.layers} == {"unchanged"}
    assert not result.used and result.after < 1e-6
    for name, tensor in compact.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("strength, limit", [(1e-12, 1e-5), (STRENGTH, 0.03)])
def test_units_that_others_replace_are_recovered(monkeypatch, strength, limit):
    """Of each pair of equal units, hidden ones and values, one is removed."""
    solver = functools.partial(solve, strength=strength)
    monkeypatch.setattr(repair_module, "solve", solver)
    original, _ = decoders(everything())
    half, width = SIZE // HEADS // 2, SIZE // HEADS
    with torch.no_grad():
        for layer in original.decoders:
            pairs = [(layer.feed_forward.w_1, 0, HIDDEN // 2)]
            for module in (layer.self_attn, layer.src_attn):
                starts = range(0, SIZE, width)
                pairs += [(module.linear_v, start, half) for start in starts]
            for linear, start, count in pairs:
                first = slice(start, start + count)
                second = slice(start + count, start + 2 * count)
                linear.weight[second] = linear.weight[first]
                linear.bias[second] = linear.bias[first]
    kept = everything()
    for layer in kept:
        layer["ffn"] = layer["ffn"][: HIDDEN // 2]
        for name in ("self_value", "source_value"):
            layer[name] = [head[:half] for head in layer[name]]
    compact = original.compact(keep_of(kept)).eval()
    compact.load_state_dict(cut_state(original, compact, kept))
    result = repair(original, compact, utterances(200))
    assert {one.result for one in result.layers} == {"repaired"}
    assert result.before > 0.1 and result.after < limit * result.before


def cut_state(original, compact, kept):
    """Weights of the first half of the units, by the shapes of the narrow decoder."""
    state = {}
    full = original.state_dict()
    for name, narrow in compact.state_dict().items():
        tensor = full[name]
        if narrow.shape != tensor.shape:
            number = int(name.split(".")[1])
            axis = 0 if narrow.size(0) != tensor.size(0) else 1
            part = 2 if "feed_forward" in name else int("src_attn" in name)
            columns = Oracle.columns(OnlyKept(kept), number, part)
            tensor = tensor.index_select(axis, torch.tensor(columns))
        state[name] = tensor
    return state


class OnlyKept:
    def __init__(self, kept):
        self.kept = kept


@pytest.mark.parametrize("name", ["ffn", "self_value", "source_value"])
def test_of_an_empty_layer_the_bias_is_fitted(name):
    kept = everything()
    for layer in kept:
        layer[name] = [] if name == "ffn" else [[]] * HEADS
        if name != "ffn":
            layer[name.replace("value", "query")] = [[]] * HEADS
    original, compact = decoders(kept)
    result = repair(original, compact, utterances())
    assert all(torch.isfinite(tensor).all() for tensor in compact.parameters())
    assert result.used and "repaired" in {one.result for one in result.layers}


@pytest.fixture(params=["adaptive", "stock"])
def ten(tmp_path, request):
    """A hybrid experiment, ten utterances with texts, and the options naming them."""
    gates = dict(adaptive_dropout_conf=dict(target_reduction=0.1, total_steps=100))
    adaptive = request.param == "adaptive"
    layers = dict(num_blocks=2, linear_units=12, attention_heads=4)
    encoder, decoder = "conformer", "transformer"
    if adaptive:
        encoder, decoder = "adaptive_dropout_conformer", "adaptive_dropout_transformer"
        layers.update(gates)
    options = dict(encoder=encoder, decoder=decoder, decoder_conf=layers)
    if adaptive:
        options["target_reduction"] = 0.1
    make_experiment(tmp_path / "exp", **options)
    more = tmp_path / "more"
    more.mkdir()
    audio, text = write_audio(more, 10), write_text(more, 10)
    return tmp_path / "exp", [f"{audio},speech,sound", f"{text},text,text"]


def given(data):
    return [option for item in data for option in ("--data", item)]


def decoder_error(experiment, directory, data):
    """Error of the loss's decoder outputs on the held-out utterances, by hand."""
    task = load_task("asr")
    outputs = []
    for path in (experiment, directory):
        config, model = open_model(task, path / "config.yaml", path / "valid.pth")
        seen = []
        model.decoder.register_forward_hook(
            lambda module, args, output, seen=seen: seen.append(output[0])
        )
        triplets = [tuple(item.split(",")) for item in data]
        args = argparse.Namespace(**config)
        for _, batch in task.build_streaming_iterator(
            triplets,
            preprocess_fn=task.build_preprocess_fn(args, False),
            collate_fn=task.build_collate_fn(args, False),
            batch_size=1,
            dtype="float32",
            num_workers=0,
        ):
            with torch.no_grad():
                model.eval()(**batch)
        outputs.append([seen[index] for index in (4, 9)])
    error = sum(float((a - b).square().sum()) for a, b in zip(*outputs))
    return (error / sum(float(a.square().sum()) for a in outputs[0])) ** 0.5


@pytest.mark.parametrize("of", ["decoder", "model"])
def test_repaired_experiment(ten, of):
    experiment, data = ten
    adaptive = "adaptive" in load_config(experiment / "config.yaml")["decoder"]
    options = (*WORDS, "--of", of, *given(data))
    directory = run_prune(experiment, *options)
    report = json.loads((directory / "report.json").read_text())
    both = of == "model" or adaptive
    assert list(report["repair"]) == (["encoder"] if both else []) + ["decoder"]
    found = report["repair"]["decoder"]
    assert (found["utterances"], found["held_out"]) == (8, 2)
    assert [one["layer"] for one in found["layers"]] == 2 * NAMES
    assert found["used"] and found["after"] < found["before"]
    assert report["certificate"]["repaired_afterwards"]
    if not adaptive:
        # On what the repaired encoder puts out, against the model before the cut
        error = decoder_error(experiment, directory, data)
        assert found["after"] == pytest.approx(error, rel=1e-3)
    text = (directory / "report.md").read_text()
    assert "The weights of the decoder are not only copies" in text
    assert "Error of the decoder's output against" in text
    assert f"| layer of the decoder | {' | '.join(NAMES)} |" in text


def test_an_encoder_that_alone_is_cut_needs_no_text(ten):
    experiment, data = ten
    options = (*WORDS, "--of", "encoder", "--data", data[0])
    if "adaptive" in load_config(experiment / "config.yaml")["decoder"]:
        assert "needs transcripts" in refused_prune(experiment, *options)
        return
    report = json.loads((run_prune(experiment, *options) / "report.json").read_text())
    assert list(report["repair"]) == ["encoder"]


def test_data_without_text_are_refused(ten, tmp_path):
    experiment, data = ten
    options = (*WORDS, "--of", "decoder", "--data", data[0])
    assert refused_prune(experiment, *options).endswith(
        f"--repair true: the decoder needs transcripts, and there are none beside "
        f"{data[0].split(',')[0]}; add --data PATH,text,text"
    )
    message = refused_prune(experiment, *options, "--data", "nowhere,text,text")
    assert "--repair true: " in message and "nowhere: cannot be read as" in message


def test_texts_that_the_model_also_reads(ten, monkeypatch):
    experiment, data = ten

    def forward(self, speech, speech_lengths, text, text_lengths, text_prev, **more):
        raise AssertionError("the data are checked first")

    _, model = open_model("asr", experiment / "config.yaml", experiment / "valid.pth")
    model_class = next(k for k in type(model).mro() if "espnet2" in k.__module__)
    monkeypatch.setattr(model_class, "forward", forward)
    message = refused_prune(experiment, *WORDS, "--of", "decoder", *given(data))
    assert "the data lack what the decoder is trained on (" in message
    assert "argument: 'text_prev'); add --data PATH,NAME,text" in message
