import json

import numpy as np
import pytest
from matplotlib.image import imread

from espnet_adaptive_dropout.report.cost_bars import cost_bars
from espnet_adaptive_dropout.report.costs import PARTS, Costs, Timing
from espnet_adaptive_dropout.report.curves import (
    SizeCurve,
    SizePoint,
    read_sweep,
    size_error_curves,
)
from espnet_adaptive_dropout.report.history_reader import Histograms, Series
from espnet_adaptive_dropout.report.style import LINES, new_figure, save
from espnet_adaptive_dropout.report.training import (
    control_marks,
    retention_histograms,
    size_over_training,
    step_edges,
    validation_error,
)
from espnet_adaptive_dropout.report.widths import head_heat_map, kept_heat_map

KEPT = [
    dict(block=0, location="value", kept=3, units=8, heads=[3, 0]),
    dict(block=0, location="ffn", kept=0, units=24, heads=[0]),
    dict(block=1, location="value", kept=8, units=8, heads=[4, 4]),
    dict(block=1, location="ffn", kept=6, units=24, heads=[6]),
]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def panels(figure):
    """Axes that hold a plot, without colour bars."""
    return [a for a in figure.axes if a.get_label() != "<colorbar>" and a.get_visible()]


def bars_of_colour(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


def labelled_axes_of_one_figure(figure):
    """The labels of all axes together, which must name what is shown."""
    return " ".join(a.get_xlabel() + a.get_ylabel() for a in figure.axes)


def test_heat_map_shows_share_and_number():
    figure = kept_heat_map(KEPT)
    (axes,) = panels(figure)
    (mesh,) = axes.collections
    assert mesh.get_array().tolist() == [[37.5, 100.0], [0.0, 25.0]]
    assert texts(axes) == ["3", "8", "0", "6"]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["values (of 8)", "feed-forward 2 (of 24)"]
    assert "block" in axes.get_xlabel()
    (bar,) = bars_of_colour(figure)
    assert bar.get_ylabel() == "units kept [%]"


def test_head_map_has_a_panel_for_each_location_with_heads():
    figure = head_heat_map(KEPT)
    (axes,) = panels(figure)
    (mesh,) = axes.collections
    assert mesh.get_array().tolist() == [[75.0, 100.0], [0.0, 100.0]]
    assert axes.get_title(loc="left") == "values, of 4 in a head"


def history(units=100):
    edges = np.linspace(0.0, 1.0, 5)
    steps = np.array([1, 10, 20])
    counts = np.array([[0, 0, 0, 4], [1, 0, 0, 3], [2, 0, 0, 2]]) * units // 4
    return {name: Histograms(steps, edges, counts) for name in ("ffn", "value", "all")}


def test_retention_histograms_have_a_panel_for_each_location():
    figure = retention_histograms(history(), {"cut": 15.0})
    shown = panels(figure)
    titles = [axes.get_title() for axes in shown]
    assert titles == [
        "feed-forward 2 (100 units)",
        "values (100 units)",
        "all locations (100 units)",
    ]
    assert shown[0].get_ylabel() == "retention probability"
    assert all(axes.get_xlabel() == "training step" for axes in shown)
    (bar,) = bars_of_colour(figure)
    assert bar.get_ylabel().endswith("[%]")


def test_retention_histograms_show_shares_and_mean():
    axes = panels(retention_histograms(history(), {"cut": 15.0}))[0]
    (mesh,) = axes.collections
    shares = mesh.get_array()
    assert shares[3].tolist() == [100.0, 75.0, 50.0]
    assert shares[0].tolist() == [0.1, 25.0, 50.0]  # 0.1 is white
    mean, mark = axes.lines
    assert mean.get_ydata().tolist() == [0.875, 0.6875, 0.5]
    assert set(mark.get_xdata()) == {15.0}


@pytest.mark.parametrize("steps, edges", [([5], [4.5, 5.5]), ([1, 3, 7], [1, 2, 5, 7])])
def test_step_edges_lie_between_the_steps(steps, edges):
    assert step_edges(np.array(steps)).tolist() == edges


def series(*values):
    return Series(np.arange(1, len(values) + 1) * 10, np.array(values))


def test_size_over_training_shows_percent():
    train = {"target_reduction": series(0.0, 0.5), "expected_reduction": series(0, 0.4)}
    figure = size_over_training(train, {"cer_ctc": series(0.9, 0.3)}, {"cut": 17})
    size, error = figure.axes
    assert [line.get_label() for line in size.lines[:2]] == ["target", "expected"]
    # Means over 1 to 10 and 11 to 20, the latter over steps on both sides of the cut
    assert size.lines[0].get_xdata().tolist() == [5, 15]
    np.testing.assert_equal(size.lines[0].get_ydata(), [0.0, np.nan])
    assert error.lines[0].get_ydata().tolist() == [90.0, 30.0]
    assert size.get_ylabel().endswith("removed [%]")
    assert error.get_ylabel() == "validation\nCER of greedy CTC [%]"
    assert error.get_xlabel() == "training step"
    assert texts(size) == ["cut"]


def test_only_means_over_one_side_of_the_cut_are_shown():
    sizes = series(0.1, 0.67, 0.62, 0.54, 0.54)
    train = {"actual_reduction": sizes}
    for cut, shown in ((25.0, [10, 67, np.nan, 54, 54]), (20.0, [10, 67, 62, 54, 54])):
        size, _ = size_over_training(train, {}, {"cut": cut}).axes
        np.testing.assert_allclose(size.lines[0].get_ydata(), shown)
        assert size.get_ylim()[1] > 67 * 1.05


def test_the_highest_marker_is_whole():
    _, error = size_over_training({}, {"cer_ctc": series(0.98, 0.97)}).axes
    assert error.get_ylim() == (0.0, pytest.approx(98 * 1.08))


def test_the_best_error_that_was_logged_is_shown():
    everything = {"loss": series(3.0), "acc": series(0.75), "wer": series(0.5)}
    assert validation_error(everything)[0] == "WER [%]"
    del everything["wer"]
    label, found = validation_error(everything)
    assert "accuracy" in label and found.values.tolist() == [25.0]
    assert validation_error({"time": series(1.0)}) is None


def test_marks_are_steps_within_the_training():
    conf = dict(ramp_start=0.0, ramp_end=0.7, freeze_at=1.0)
    assert control_marks(conf, 1000) == {"ramp ends": 700.0}
    assert control_marks(conf, None) == {}


def curve(name, **options):
    points = [
        SizePoint(400, 0.6, {"WER clean [%]": 9.0, "WER other [%]": 19.0}),
        SizePoint(1000, 0.0, {"WER clean [%]": 6.0, "WER other [%]": 15.0}, True),
    ]
    return SizeCurve(name, points, **options)


def test_size_error_curves_have_a_panel_for_each_test_set():
    figure = size_error_curves([curve("ours"), curve("separate", connected=False)])
    clean, other = panels(figure)
    assert clean.get_ylabel() == "WER clean [%]"
    assert clean.get_xlabel() == "parameters of the encoder"
    ours, ring, separate, _ = clean.lines
    assert ours.get_xdata().tolist() == [400, 1000]
    assert other.lines[0].get_ydata().tolist() == [19.0, 15.0]
    assert ring.get_xdata().tolist() == [1000]
    assert ours.get_linestyle() != "None" and separate.get_linestyle() == "None"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "separate"]


def test_errors_of_different_orders_are_shown_on_a_logarithmic_axis():
    points = [
        SizePoint(400, 0.6, {"WER x [%]": 99.0}),
        SizePoint(9, 0.0, {"WER x [%]": 6}),
    ]
    (axes,) = panels(size_error_curves([SizeCurve("ours", points)]))[:1]
    assert axes.get_yscale() == "log"
    (axes, _) = panels(size_error_curves([curve("ours")]))
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize("errors", [(5.1, 6.4), (20.1, 20.2), (0.0, 0.0), (0.1, 0.3)])
def test_errors_fill_the_axis_and_no_marker_is_clipped(errors):
    points = [
        SizePoint(size, 0.5, {"WER x [%]": error})
        for size, error in zip((400, 800), errors)
    ]
    axes = panels(size_error_curves([SizeCurve("ours", points)]))[0]
    low, high = axes.get_ylim()
    room = 0.05 * (high - low)
    assert high - room > max(errors) and (low + room < min(errors) or low == 0.0)
    # Differences of less than a fifth of the error do not fill it.
    assert high - low < 2 * max(max(errors) - min(errors), 0.2 * max(errors), 1e-3)
    left, right = axes.get_xlim()
    assert left < 400 - 0.05 * 400 and right > 800 + 0.05 * 400


def test_the_size_says_what_it_counts():
    train = {"expected_reduction": series(0, 0.4)}
    size, _ = size_over_training(train, {}, cost="macs").axes
    assert size.get_ylabel() == "encoder MACs\nremoved [%]"


def test_curves_of_one_encoder_also_show_the_share_removed():
    (axes,) = panels(size_error_curves([curve("ours")]))[:1]
    (top,) = axes.child_axes
    assert top.get_xlabel() == "removed [%]"


def test_line_styles_differ_without_colour():
    assert len({(s["linestyle"], s["marker"]) for s in LINES}) == len(LINES)
    for style in LINES:
        assert style["color"] == "black" or float(style["color"]) < 0.6


def entry(target, reduction, **more):
    sizes = dict(encoder_params=round(1000 * (1 - reduction)), total_params=2000)
    return dict(target_reduction=target, reduction=reduction, **sizes, **more)


def test_a_sweep_is_read(tmp_path):
    path = tmp_path / "sweep.json"
    sizes = [
        entry(None, 0.0, wer={"clean": 6.0}, valid={"acc": 0.75, "loss": 2.0}),
        entry(0.5, 0.5, wer={"clean": 9.0}, valid={"time": 3.0}),
    ]
    path.write_text(json.dumps(dict(experiment="x", criterion="taylor", sizes=sizes)))
    found = read_sweep(path, "ours")
    assert [point.encoder_params for point in found.points] == [500, 1000]
    assert [point.as_trained for point in found.points] == [False, True]
    assert found.points[0].errors == {"WER clean [%]": 9.0}
    assert found.points[1].errors["validation token error, 1 − accuracy [%]"] == 25.0
    assert "taylor" in read_sweep(path).name


@pytest.mark.parametrize("text", ["[]", "{", '{"sizes": [{}], "criterion": "x"}'])
def test_what_is_no_sweep_is_refused(tmp_path, text):
    path = tmp_path / "sweep.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="sweep.json: not a sweep"):
        read_sweep(path)


def costs(scale, timed=True):
    parts = {part: scale * 1000 * (row + 1) for row, part in enumerate(PARTS)}
    seconds = {part: value / 1e6 for part, value in parts.items()}
    timing = Timing(seconds, 0.02, 0.01, 0.03, 5, 1) if timed else None
    return Costs(parts, parts, {"weights": 8e6, "activations": 2e6}, timing)


def test_cost_bars_show_before_after_and_what_cannot_go():
    figure = cost_bars({"before": costs(10), "after": costs(5), "floor": costs(2)})
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert [label[label.index("[") :] for label in labels] == [
        "[k]",
        "[M]",
        "[ms]",
        "[MB]",
    ]
    first = figure.axes[0].patches
    lengths = [patch.get_width() for patch in first]
    assert lengths[:5] == [10, 20, 30, 40, 50]
    hatched = [patch.get_width() for patch in first if patch.get_hatch()]
    assert hatched == 2 * [2, 4, 6, 8, 10]
    (legend,) = figure.legends
    assert "cannot be pruned" in [text.get_text() for text in legend.get_texts()]


def test_cost_bars_without_times_and_pruned_model():
    figure = cost_bars({"before": costs(10, False), "floor": costs(2, False)})
    assert not any("time" in axes.get_xlabel() for axes in figure.axes)
    assert len(figure.axes) == 3


def test_save_writes_all_formats_and_nothing_else(tmp_path):
    figure = new_figure(2.0, 1.0)
    figure.add_subplot().plot([0, 1], [0, 1])
    written = save(figure, tmp_path / "plot", ("png", "pdf"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plot.pdf", "plot.png"]
    assert [path.name for path in written] == ["plot.png", "plot.pdf"]
    assert imread(tmp_path / "plot.png").shape[:2] == (200, 400)  # 200 dpi
