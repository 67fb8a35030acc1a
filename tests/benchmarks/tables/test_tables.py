"""Tables from made-up results."""

from __future__ import annotations

import pytest
from support.benchmark_recipe import namespace, settings

from benchmarks.files import read_json, write_json
from benchmarks.tables.__main__ import write_tables
from benchmarks.tables.results import read_results, relative_change, removed

ROWS = {
    "dense": ("dense", "dense", "main"),
    "ours": ("ours", "ours", "main"),
    "magnitude_30": ("magnitude", "magnitude", "main"),
    "magnitude_50": ("magnitude", "magnitude", "main"),
    "only_ffn": ("only_ffn", "ours, ffn alone", "ablation"),
    "taylor_50": ("taylor", "Taylor", "main"),
    "without_ffn": ("without_ffn", "ours without ffn", "ablation"),
    "logit_2": ("logit_2", "ours, initial logit 2", "settings"),
    "both": ("both", "ours, encoder and decoder", "both"),
    "family": ("family_54", "family, cut to 54 %", "sizes"),
    "family_70": ("family_70", "family, cut to 70 %", "sizes"),
    "ours_70": ("ours_70", "ours, cut to 70 %", "sizes"),
    "separate_70": ("separate_70", "a training for 70 %", "sizes"),
    "lagrangian_70": ("lagrangian_70", "a training for 70 %, Lagrangian", "sizes"),
}


@pytest.fixture
def exp(tmp_path):
    settings(tmp_path, tmp_path, target=0.54).keep()
    names = ("row", "title", "section")
    described = {run: dict(zip(names, row)) for run, row in ROWS.items()}
    write_json(tmp_path / "rows.json", described)
    return tmp_path


def put(exp, run, seed, test, dev=10, params=1000, words=100, **more):
    def counts(errors):
        return dict(words=words, word_errors=errors, chars=400, char_errors=errors)

    sets = {
        "dev": counts(dev),
        "test_clean": counts(test - 1),
        "test_other": counts(test + 1),
    }
    result = dict(sets=sets, valid_loss=1.5, encoder_params=params, encoder_macs=3e6)
    result.update(more)
    write_json(exp / f"seed{seed}" / run / "result.json", result)


def by_key(exp):
    return {row.key: row for row in read_results(exp)}


def test_rates_are_pooled_over_sets(exp):
    put(exp, "dense", 1, test=8)
    assert by_key(exp)["dense"].rates("test") == {1: 8.0}


def test_decimals_follow_the_number_of_words(exp):
    put(exp, "dense", 1, test=150, words=5000)
    put(exp, "dense", 2, test=151, words=5000)
    put(exp, "ours", 1, test=150, words=4999)
    rows = by_key(exp)
    assert rows["dense"].spread("test") == "3.01 ± 0.01"
    assert rows["dense"].spread("dev") == "0.2 ± 0.0"
    assert rows["ours"].spread("test") == "3.0"


def test_the_best_point_on_dev_speaks_for_its_criterion(exp):
    for seed in (1, 2):
        put(exp, "magnitude_30", seed, test=5, dev=20)
        put(exp, "magnitude_50", seed, test=9, dev=19)
    row = by_key(exp)["magnitude"]
    assert row.run == "magnitude_50"
    assert [other.run for other in row.others] == ["magnitude_30"]


def test_points_are_compared_over_the_seeds_that_both_have(exp):
    put(exp, "magnitude_30", 1, test=5, dev=20)
    put(exp, "magnitude_50", 1, test=5, dev=21)
    put(exp, "magnitude_50", 2, test=5, dev=1)
    assert by_key(exp)["magnitude"].run == "magnitude_30"


def test_change_is_over_common_seeds(exp):
    put(exp, "dense", 1, test=10)
    put(exp, "dense", 2, test=40)
    put(exp, "ours", 1, test=12)
    rows = by_key(exp)
    assert relative_change(rows["ours"], rows["dense"]) == pytest.approx(20.0)


def test_a_target_for_both_is_a_share_of_both(exp):
    put(exp, "dense", 1, test=10, params=600, decoder_params=400)
    put(exp, "both", 1, test=10, params=200, decoder_params=300)
    put(exp, "ours", 1, test=10, params=300, decoder_params=400)
    rows = by_key(exp)
    shares = {key: removed(row, rows["dense"]) for key, row in rows.items()}
    assert shares == pytest.approx(dict(dense=0.0, both=0.5, ours=0.5))


def test_all_files_are_written(exp):
    for seed, errors in ((1, 10), (2, 12), (3, 14)):
        put(exp, "dense", seed, errors)
        put(exp, "ours", seed, errors - 1, params=460)
        put(exp, "magnitude_50", seed, errors + 3, params=460)
    put(exp, "only_ffn", 1, 20, params=700)
    write_tables(namespace(exp=exp, out=None))
    text = (exp / "RESULTS.md").read_text()
    assert (
        "| ours | 54.0% | 460 | 3.0 M | - | 11.0 ± 2.0 | 9.0, 11.0, 13.0 | 10.0 ± 0.0 "
        "| 1.50 | -8 % |" in text
    )
    assert "Synthetic speech" in text
    run = ("dense", "ours", "magnitude", "only_ffn")
    missing = [title for row, title, _ in ROWS.values() if row not in run]
    assert f"Not run (yet): {'; '.join(missing)}." in text
    assert "## Each location alone" in text
    assert "## One training" not in text
    content = read_json(exp / "results.json")
    assert [row["row"] for row in content["rows"]][:2] == ["dense", "ours"]
    assert content["missing"] == missing
    assert (exp / "results.png").read_bytes().startswith(b"\x89PNG")


def section_of(exp, heading):
    write_tables(namespace(exp=exp, out=None))
    return (exp / "RESULTS.md").read_text().split(f"## {heading}")[1].split("##")[0]


def test_the_best_row_is_first_and_ours_stands_beside_its_variants(exp):
    put(exp, "dense", 1, 10)
    put(exp, "magnitude_50", 1, 30, params=460)
    put(exp, "ours", 1, 20, params=460)
    put(exp, "logit_2", 1, 15, params=460)
    table = section_of(exp, "Ways to the same size")
    assert table.index("| dense") < table.index("| ours") < table.index("| magnitude")
    table = section_of(exp, "Ours with one setting changed")
    assert table.index("| ours | 54.0% |") < table.index("| ours, initial logit 2 |")
    assert "| dense" not in table


def test_locations_are_summed_up_alone_and_left_out(exp):
    put(exp, "dense", 1, 10)
    for seed, errors in ((1, 19), (2, 21)):
        put(exp, "ours", seed, errors, params=460)
        put(exp, "only_ffn", seed, errors - 5, params=760)
    put(exp, "without_ffn", 1, 25, params=550)
    table = section_of(exp, "Each location alone and each left out")
    assert "| `ffn` | 24.0% | 15.0 ± 1.4 | 45.0% | 25.0 |" in table
    assert "| `query` | - | - | - | - |" in table
    assert "| all | 54.0% | 20.0 ± 1.4 |" in table


def test_sizes_are_summed_up_by_the_way_to_them(exp):
    put(exp, "ours", 1, 19, params=460)
    put(exp, "ours", 2, 21, params=460)
    put(exp, "family", 1, 22, params=461)
    for way, errors in (
        ("family", 31),
        ("ours", 40),
        ("separate", 29),
        ("lagrangian", 28),
    ):
        put(exp, f"{way}_70", 1, errors, params=300)
    table = section_of(exp, "One training, many sizes")
    assert "| 54 % | 22.0 | 20.0 ± 1.4 | 20.0 ± 1.4 | - |" in table
    assert "| 70 % | 31.0 | 40.0 | 29.0 | 28.0 |" in table
    assert "| 20 % | - | - | - | - |" in table
    for way in ("ours", "separate"):
        (exp / f"seed1/{way}_70/result.json").unlink()
    table = section_of(exp, "One training, many sizes")
    assert "| removed | one training for all sizes | this size alone, Lagr" in table
    assert "| 54 % | 22.0 | - |" in table


def test_without_dense_nothing_is_relative(exp):
    put(exp, "ours", 1, 9)
    write_tables(namespace(exp=exp, out=exp / "out"))
    assert "| ours | - | 1,000 |" in (exp / "out/RESULTS.md").read_text()


def test_no_results_are_an_error(exp, tmp_path):
    with pytest.raises(ValueError, match="no run has finished yet"):
        read_results(exp)
    with pytest.raises(ValueError, match="run python -m benchmarks.compare first"):
        read_results(tmp_path / "nowhere")
