import pytest

from benchmarks.speed import recognition
from benchmarks.speed.recognisers import FORMS, SIZES, recogniser


def test_a_table_for_every_size(capsys):
    options = "--size tiny --beam 1 3 --seconds 2 --rounds 2 --minutes 0.1 --memory"
    recognition.main(options.split())
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| 2 s |")]
    assert [row[1] for row in rows] == ["1"] * len(FORMS) + ["3"] * len(FORMS)
    assert [row[2] for row in rows] == [form.title for form in FORMS.values()] * 2
    for row in rows:
        assert sum(int(cell.rstrip("%")) for cell in row[6:10]) in range(97, 104)
        assert float(row[10].split()[0]) >= 0
    hypotheses = [row[11].rstrip(" |") for row in rows]
    full_width = ("compact_decoder", "compact_decoder_fast_ctc")
    for start in (0, len(FORMS)):
        for name in full_width:
            assert hypotheses[start + list(FORMS).index(name)] == "same"


def test_the_forms_are_as_small_as_they_say():
    size = SIZES["tiny"]
    full, pruned = (
        recogniser(size, FORMS[name], 0.3).asr_model
        for name in ("espnet", "both_pruned")
    )
    for name, share in (("encoder", 0.54), ("decoder.decoders", 0.54)):
        before, after = (
            sum(weight.numel() for weight in model.get_submodule(name).parameters())
            for model in (full, pruned)
        )
        assert 1 - after / before == pytest.approx(share, abs=0.06), name


@pytest.mark.parametrize("option", ["--beam 0", "--seconds 0.5", "--minutes 0"])
def test_numbers_out_of_range(option):
    with pytest.raises(SystemExit, match="must be"):
        recognition.main(option.split())
