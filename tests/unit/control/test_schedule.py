import pytest

from espnet_adaptive_dropout.control.schedule import (
    falling_centre,
    interpolate,
    size_ramp,
)


@pytest.mark.parametrize(
    "progress, value", [(0.0, 0.0), (0.1, 0.0), (0.35, 0.5), (0.6, 1.0), (1.0, 1.0)]
)
def test_interpolate(progress, value):
    assert interpolate(progress, 0.1, 0.6) == pytest.approx(value)


def test_interpolate_without_a_span_is_a_step():
    assert interpolate(0.49, 0.5, 0.5) == 0.0
    assert interpolate(0.5, 0.5, 0.5) == 1.0


def test_size_ramp_goes_from_the_initial_share_to_the_target():
    ramp = [size_ramp(p / 100, 0.02, 0.54, 0.05, 0.7) for p in range(101)]
    assert ramp[0] == ramp[5] == 0.02
    assert ramp[70] == pytest.approx(0.54) == ramp[100]
    assert ramp == sorted(ramp)


def test_falling_centre():
    assert falling_centre(0.0, 4.0, -60.0, 0.0, 1.0) == 4.0
    assert falling_centre(0.5, 4.0, -60.0, 0.0, 1.0) == pytest.approx(-28.0)
    assert falling_centre(1.0, 4.0, -60.0, 0.0, 1.0) == -60.0
