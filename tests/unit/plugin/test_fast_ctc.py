import sys
import types

import pytest

from espnet_adaptive_dropout.compat import CTCPrefixScorer
from espnet_adaptive_dropout.decoders.fast_ctc import FastCTCPrefixScorer
from espnet_adaptive_dropout.plugin import fast_ctc, runner
from espnet_adaptive_dropout.plugin.after_import import call_after_import


@pytest.fixture(autouse=True)
def import_system(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


def test_modules_that_make_recognisers():
    names = ("asr_inference", "st_inference_streaming", "s2t_inference_ctc")
    assert all(fast_ctc.is_inference(f"espnet2.bin.{name}") for name in names)
    others = ("espnet2.bin.asr_train", "espnet2.tasks.asr", "asr_inference")
    assert not any(fast_ctc.is_inference(name) for name in others)


def test_only_espnets_scorer_is_replaced():
    module = types.SimpleNamespace(CTCPrefixScorer=CTCPrefixScorer)
    fast_ctc.use_fast_ctc(module)
    assert module.CTCPrefixScorer is FastCTCPrefixScorer
    fast_ctc.use_fast_ctc(module)
    assert module.CTCPrefixScorer is FastCTCPrefixScorer
    other = types.SimpleNamespace(CTCPrefixScorer=dict)
    fast_ctc.use_fast_ctc(other)
    assert other.CTCPrefixScorer is dict
    empty = types.SimpleNamespace()
    fast_ctc.use_fast_ctc(empty)
    assert vars(empty) == {}


def test_modules_are_met_now_and_later(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("met_before", "met_later", "met_never"):
        (tmp_path / f"{name}.py").write_text("VALUE = 1\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    import met_before

    seen = []

    def note(module):
        seen.append((module.__name__, module.VALUE))

    for _ in range(2):
        call_after_import(lambda name: name in ("met_before", "met_later"), note)
    import met_later  # noqa: F401
    import met_never  # noqa: F401

    assert seen == [("met_before", met_before.VALUE)] * 2 + [("met_later", 1)]


@pytest.mark.parametrize("flag, installed", [([], []), (["--fast_ctc"], [True])])
def test_the_flag_of_the_runner(flag, installed, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(fast_ctc, "install", lambda: calls.append(True))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(sys.argv[1:])\n")
    runner.main([*flag, str(script), "--fast_ctc"])
    assert calls == installed


def test_the_flag_alone():
    with pytest.raises(SystemExit, match="usage"):
        runner.main(["--fast_ctc"])
