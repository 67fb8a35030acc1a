"""Trainings that are too short for the logits to follow the ramp."""

import logging

import pytest

from espnet_adaptive_dropout.control.bound import check_length
from espnet_adaptive_dropout.control.config import AdaptiveDropoutConfig


def check(**options):
    check_length(AdaptiveDropoutConfig(**options))


def test_a_training_without_an_update_before_the_freeze_is_refused():
    with pytest.raises(ValueError, match="no update .*total_steps=8, accum_grad=8"):
        check(total_steps=8, accum_grad=8)
    check(total_steps=8, accum_grad=4, freeze_at=0.5)
    check(total_steps=1, control="schedule")


def test_a_short_ramp_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        check(total_steps=641)
        assert not caplog.records
        check(total_steps=641, accum_grad=2)
    (record,) = caplog.records
    assert "31 updates in the ramp" in record.message


def test_the_warning_leaves_logging_to_espnet(monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    check(total_steps=48)
    assert root.handlers == []
