"""The clock of a run: time over interruptions, of the wall and of the processor."""

import time

import pytest

from dnadiff.training.progress import Clock


def test_time_goes_on_from_what_earlier_parts_took(monkeypatch):
    wall, worked = [100.0], [7.0]
    monkeypatch.setattr(time, "monotonic", lambda: wall[0])
    monkeypatch.setattr(time, "process_time", lambda: worked[0])
    clock = Clock(1.0, 20.0, 30.0)
    assert (clock.seconds, clock.processor_seconds) == (20.0, 30.0)  # it has not started
    clock.start()
    wall[0], worked[0] = 110.0, 22.5
    assert (clock.seconds, clock.processor_seconds) == (30.0, 45.5) and not clock.over
    wall[0] = 140.0
    assert clock.over


def test_what_an_earlier_part_worked_stays_unknown_if_it_was_not_recorded():
    clock = Clock(None, 20.0, None)
    clock.start()
    assert clock.seconds >= 20.0 and clock.processor_seconds is None


def test_waiting_costs_time_and_no_work():
    clock = Clock(None)
    clock.start()
    time.sleep(0.05)
    assert clock.seconds >= 0.05 > clock.processor_seconds == pytest.approx(0, abs=0.04)
