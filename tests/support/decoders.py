"""Small decoders, ESPnet's with the same outputs, and ESPnet's searches over them."""

from __future__ import annotations

import importlib
import inspect
import random

import torch
from espnet2.asr.ctc import CTC
from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
from espnet2.lm.transformer_lm import TransformerLM
from support.encoders import randomise

from espnet_adaptive_dropout.decoders.adaptive import AdaptiveDropoutTransformerDecoder
from espnet_adaptive_dropout.decoders.compact import CompactTransformerDecoder

VOCABULARY, SIZE, HEADS, LAYERS, HIDDEN = 12, 16, 4, 2, 24
SMALL = dict(
    vocab_size=VOCABULARY,
    encoder_output_size=SIZE,
    attention_heads=HEADS,
    linear_units=HIDDEN,
    num_blocks=LAYERS,
)

# Every combination is a decoder_conf on top of SMALL.
ARCHITECTURES = {
    "pre_norm": {},
    "post_norm": dict(normalize_before=False),
    "concat_after": dict(concat_after=True),
    "post_norm_concat_after": dict(normalize_before=False, concat_after=True),
    "attention_dropout": dict(
        self_attention_dropout_rate=0.1, src_attention_dropout_rate=0.1
    ),
    "no_output_layer": dict(use_output_layer=False),
}
QK_NORM = dict(qk_norm=True)  # cannot be narrowed
# Not in every release
OPTIONS = inspect.signature(TransformerDecoder.__init__).parameters
HAS_QK_NORM = "qk_norm" in OPTIONS
for option, value in dict(
    use_sdpa=True, use_flash_attn=False, gradient_checkpoint_layers=[1]
).items():
    if option in OPTIONS:
        ARCHITECTURES[option] = {option: value}


def nets(module: str):
    """A module of ``espnet.nets``, wherever the installed ESPnet keeps it."""
    try:
        return importlib.import_module(f"espnet2.legacy.nets.{module}")
    except ImportError:
        return importlib.import_module(f"espnet.nets.{module}")


def stock_decoder(seed: int = 0, **options) -> TransformerDecoder:
    decoder = TransformerDecoder(**{**SMALL, **options})
    randomise(decoder, seed)
    return decoder.eval()


def compact_decoder(stock, widths=None, **options) -> CompactTransformerDecoder:
    """The compact decoder at full width, with the weights of ``stock``."""
    decoder = CompactTransformerDecoder(**{**SMALL, **options}, widths=widths)
    decoder.load_state_dict(stock.state_dict())
    return decoder.eval()


def adaptive_decoder(stock, conf=None, **options):
    """The decoder with a gate at every location, with the weights of ``stock``.

    Args:
        stock: ESPnet's decoder.
        conf: its ``adaptive_dropout_conf``.
        options: constructor arguments of both decoders.
    """
    conf = dict(target_reduction=0.2, total_steps=100) if conf is None else conf
    decoder = AdaptiveDropoutTransformerDecoder(
        **{**SMALL, **options}, adaptive_dropout_conf=conf
    )
    decoder.load_state_dict({**decoder.state_dict(), **stock.state_dict()})
    return decoder.eval()


def keep_of(kept: list[dict]) -> torch.Tensor:
    """Kept units of every layer as one mask in the order of the unit table."""
    parts = []
    for layer in kept:
        for name in ("self_query", "self_value", "source_query", "source_value"):
            for head in layer[name]:
                parts.append(_mask(head, SIZE // HEADS))
        parts.append(_mask(layer["ffn"], HIDDEN))
    return torch.cat(parts)


def _mask(kept: list[int], units: int) -> torch.Tensor:
    return torch.tensor([unit in kept for unit in range(units)])


def pair(seed: int = 0, **options):
    """ESPnet's decoder and the compact one, with the same weights."""
    stock = stock_decoder(seed, **options)
    return stock, compact_decoder(stock, **options)


def random_kept(share: float, seed: int = 0) -> list[dict]:
    """Kept units of every layer: hidden ones, and those of every head."""
    draw = random.Random(seed)

    def some(units: int) -> list[int]:
        return [unit for unit in range(units) if draw.random() < share]

    attention = ("self_query", "self_value", "source_query", "source_value")
    per_head = {name: None for name in attention}
    return [
        {
            "ffn": some(HIDDEN),
            **{n: [some(SIZE // HEADS) for _ in range(HEADS)] for n in per_head},
        }
        for _ in range(LAYERS)
    ]


def narrow_pair(kept: list[dict], seed: int = 0, **options):
    """ESPnet's decoder with the other units set to zero, and the one without them."""
    stock = stock_decoder(seed, **options)
    weights = {name: tensor.clone() for name, tensor in stock.state_dict().items()}
    for number, units in enumerate(kept):
        layer = f"decoders.{number}."
        _cut(weights, stock, f"{layer}feed_forward.w_1", 0, units["ffn"])
        _cut(weights, stock, f"{layer}feed_forward.w_2", 1, units["ffn"])
        for kind, name in (("self", "self_attn"), ("source", "src_attn")):
            query, value = (
                [
                    head * (SIZE // HEADS) + unit
                    for head, some in enumerate(units[f"{kind}_{what}"])
                    for unit in some
                ]
                for what in ("query", "value")
            )
            for linear, rows in (("q", query), ("k", query), ("v", value)):
                _cut(weights, stock, f"{layer}{name}.linear_{linear}", 0, rows)
            _cut(weights, stock, f"{layer}{name}.linear_out", 1, value)
    widths = [
        {
            name: len(some) if name == "ffn" else [len(head) for head in some]
            for name, some in units.items()
        }
        for units in kept
    ]
    compact = CompactTransformerDecoder(**{**SMALL, **options}, widths=widths)
    compact.load_state_dict(weights)
    return stock, compact.eval()


def _cut(weights: dict, stock, name: str, axis: int, kept: list[int]) -> None:
    """Keep rows (axis 0) or columns in ``weights``; zero the others in ``stock``."""
    index = torch.tensor(kept, dtype=torch.long)
    layer = stock.get_submodule(name)
    gone = torch.ones(layer.weight.size(axis), dtype=torch.bool)
    gone[index] = False
    for part in ("weight", "bias") if axis == 0 else ("weight",):
        key = f"{name}.{part}"
        weights[key] = weights[key].index_select(axis, index)
        with torch.no_grad():
            getattr(layer, part).index_fill_(axis, gone.nonzero().flatten(), 0.0)


def zero_units(decoder, plan: list[dict]) -> None:
    """Set what is not in a plan to zero in ESPnet's decoder.

    Args:
        decoder: ESPnet's, changed in place.
        plan: entries of the layers in a plan.yaml: ranges of kept units by name.
    """
    for layer, entry in zip(decoder.decoders, plan):
        for name, module in (("self", layer.self_attn), ("source", layer.src_attn)):
            for kind, linears in (("query", "qk"), ("value", "v")):
                gone = _gone(entry[f"{name}_{kind}"], module.linear_q.out_features)
                for letter in linears:
                    _zero_rows(getattr(module, f"linear_{letter}"), gone)
        first = layer.feed_forward.w_1
        gone = _gone(entry["ffn"], first.out_features)
        with torch.no_grad():
            layer.feed_forward.w_2.weight[:, gone] = 0.0


def _zero_rows(linear, gone: list[int]) -> None:
    with torch.no_grad():
        linear.weight[gone] = 0.0
        linear.bias[gone] = 0.0


def _gone(ranges: str, units: int) -> list[int]:
    kept: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        kept |= set(range(int(first), int(last or first) + 1))
    return sorted(set(range(units)) - kept)


def memory_of(time: int, seed: int = 0) -> torch.Tensor:
    """An encoder output (time, size)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, SIZE, generator=generator)


def teacher_forced(seed: int = 0):
    """Arguments of the training forward: three padded utterances."""
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(3, 9, SIZE, generator=generator)
    tokens = torch.randint(VOCABULARY, (3, 5), generator=generator)
    return memory, torch.tensor([9, 6, 2]), tokens, torch.tensor([5, 5, 3])


def search_over(decoder, kind="batch", beam=4, lm=False, ctc=True, **conf):
    """ESPnet's beam search with the decoder, a length bonus, maybe a CTC and an LM.

    Args:
        decoder: ESPnet's decoder or the compact one.
        kind: "single", "batch" or "online".
        beam: beam size.
        lm: whether a language model is fused.
        ctc: whether the CTC has a weight.
        conf: further options of the search.
    """
    torch.manual_seed(1)
    layer, language_model = CTC(VOCABULARY, SIZE), TransformerLM(VOCABULARY, unit=8)
    scorers = dict(
        decoder=decoder,
        ctc=nets("scorers.ctc").CTCPrefixScorer(ctc=layer, eos=VOCABULARY - 1),
        length_bonus=nets("scorers.length_bonus").LengthBonus(VOCABULARY),
        lm=language_model if lm else None,
    )
    weights = dict(decoder=0.7, ctc=0.3 if ctc else 0.0, length_bonus=0.1, lm=0.4)
    module, name = {
        "single": ("beam_search", "BeamSearch"),
        "batch": ("batch_beam_search", "BatchBeamSearch"),
        "online": ("batch_beam_search_online", "BatchBeamSearchOnline"),
    }[kind]
    search = getattr(nets(module), name)(
        scorers=scorers,
        weights=weights,
        beam_size=beam,
        vocab_size=VOCABULARY,
        sos=VOCABULARY - 1,
        eos=VOCABULARY - 1,
        token_list=[str(token) for token in range(VOCABULARY)],
        **{"pre_beam_score_key": "full", **conf},
    )
    return search.eval()


def hypotheses(found) -> tuple[list, torch.Tensor]:
    """Token sequences and scores of an n-best list."""
    scores = torch.tensor([float(hypothesis.score) for hypothesis in found])
    return [hypothesis.yseq.tolist() for hypothesis in found], scores


def assert_same_hypotheses(first, second) -> None:
    tokens, scores = hypotheses(first)
    assert tokens
    others, other_scores = hypotheses(second)
    assert tokens == others
    assert (scores - other_scores).abs().max() < 1e-4
