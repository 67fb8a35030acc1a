"""Fast CTC prefix scores in ESPnet's searches, recognisers and commands."""

import types

import pytest
import torch
from espnet2.bin.asr_inference import Speech2Text
from support.ctc import HAS_WINDOW, IS_NEW
from support.decoders import (
    assert_same_hypotheses,
    memory_of,
    search_over,
    stock_decoder,
)
from support.forking import Command
from support.tiny_training import write_untrained

from espnet_adaptive_dropout.compat import CTCPrefixScorer
from espnet_adaptive_dropout.decoders.ctc_scores import PrefixScores
from espnet_adaptive_dropout.decoders.fast_ctc import FastCTCPrefixScorer, fast_ctc

windows = [0, pytest.param(4, marks=pytest.mark.skipif(not HAS_WINDOW, reason="none"))]


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def searches(kind="batch", beam=4, margin=0, **options):
    """The same search with ESPnet's scores and with ours."""
    stock, ours = (search_over(stock_decoder(), kind, beam, **options) for _ in "ab")
    for search in (stock, ours):
        search.scorers["ctc"].window_margin = margin
    fast_ctc(ours)
    assert isinstance(ours.scorers["ctc"], FastCTCPrefixScorer)
    assert not isinstance(stock.scorers["ctc"], FastCTCPrefixScorer)
    return stock, ours


@pytest.mark.parametrize("margin", windows)
@pytest.mark.parametrize("scored", ["full", None], ids=["pre-beam", "all"])
@pytest.mark.parametrize("kind, beam", [("single", 3), ("batch", 1), ("batch", 5)])
def test_utterances_one_by_one(kind, beam, scored, margin):
    stock, ours = searches(kind, beam, margin, lm=True, pre_beam_score_key=scored)
    for seed, time in enumerate((20, 1, 9)):
        memory = memory_of(time, seed)
        assert_same_hypotheses(stock(memory), ours(memory))
    assert isinstance(ours.scorers["ctc"].impl, PrefixScores) == (kind == "batch")


@pytest.mark.skipif(not IS_NEW, reason="this ESPnet decodes one by one")
@pytest.mark.parametrize("margin", windows)
@pytest.mark.parametrize("lengths", [(14, 14), (24, 9, 3)])
def test_utterances_in_one_batch(lengths, margin):
    lengths = torch.tensor(lengths)
    batch = memory_of(int(len(lengths) * lengths.max())).view(len(lengths), -1, 16)
    stock, ours = (
        search(batch, x_lengths=lengths) for search in searches(margin=margin)
    )
    for one, other in zip(stock, ours):
        assert_same_hypotheses(one, other)


@pytest.mark.parametrize("margin", windows)
@pytest.mark.parametrize("disable_repetition_detection", [False, True])
def test_streaming(disable_repetition_detection, margin):
    options = dict(
        block_size=8,
        hop_size=3,
        look_ahead=2,
        disable_repetition_detection=disable_repetition_detection,
    )
    memory = memory_of(30)
    found = []
    for search in searches("online", margin=margin, **options):
        for start in range(0, 30, 6):
            last = search(memory[start : start + 6], is_final=start == 24)
        found.append(last)
    assert_same_hypotheses(*found)


def test_a_search_without_ctc_scores():
    search = search_over(stock_decoder(), ctc=False)
    for recogniser in (search, types.SimpleNamespace(beam_search=None)):
        with pytest.raises(ValueError, match="no CTC prefix scores") as error:
            fast_ctc(recogniser)
        assert "\n" not in str(error.value)


def test_all_searches_of_a_recogniser():
    translation, source = (search_over(stock_decoder()) for _ in "ab")
    recogniser = types.SimpleNamespace(beam_search=translation, asr_beam_search=source)
    for _ in range(2):  # twice does no harm
        fast_ctc(recogniser)
        for search in (translation, source):
            assert type(search.scorers["ctc"]) is FastCTCPrefixScorer


def test_scorers_of_other_kinds_stay():
    class Another(CTCPrefixScorer):
        pass

    search = search_over(stock_decoder())
    search.scorers["ctc"].__class__ = Another
    with pytest.raises(ValueError, match="no CTC prefix scores"):
        fast_ctc(search)
    assert type(search.scorers["ctc"]) is Another


@pytest.fixture(scope="module")
def model(data):
    return write_untrained(data)


def test_a_recogniser(model):
    def recognised(makes_fast):
        recogniser = Speech2Text(
            *map(str, model), beam_size=3, nbest=3, lm_weight=0.0, ctc_weight=0.5
        )
        if makes_fast:
            fast_ctc(recogniser)
        generator = torch.Generator().manual_seed(0)
        return recogniser(0.1 * torch.randn(16000, generator=generator))

    stock, ours = recognised(False), recognised(True)
    assert_same_hypotheses([one[3] for one in stock], [one[3] for one in ours])


def test_the_command(model, data, tmp_path, forking_python):
    """The log says which scorer was used; the texts are the same."""
    config, weights = model
    arguments = [
        *("-m", "espnet2.bin.asr_inference", "--nbest", 2, "--beam_size", 2),
        *("--asr_train_config", config, "--asr_model_file", weights),
        *("--data_path_and_name_and_type", f"{data}/wav.scp,speech,sound"),
        *("--lm_weight", 0, "--ctc_weight", 0.5, "--num_workers", 0, "--output_dir"),
    ]
    commands = [
        Command(
            ["-m", "espnet_adaptive_dropout", *flag, *arguments, tmp_path / name],
            cwd=tmp_path,
            log=tmp_path / f"{name}.log",
        )
        for name, flag in (("stock", []), ("ours", ["--fast_ctc"]))
    ]
    assert forking_python(*commands) == [0, 0], (tmp_path / "ours.log").read_text()
    for best in ("1best_recog", "2best_recog"):
        stock, ours = (
            (tmp_path / name / best / "token_int").read_text()
            for name in ("stock", "ours")
        )
        assert len(stock.splitlines()) == 9 and stock == ours
    logs = [(tmp_path / f"{name}.log").read_text() for name in ("stock", "ours")]
    assert ["FastCTCPrefixScorer" in log for log in logs] == [False, True]
