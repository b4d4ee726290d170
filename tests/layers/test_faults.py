"""Every deliberate fault of ``tests.mutations`` can still be made: its line is there once, and so are its tests."""

from pathlib import Path

import pytest

from tests.mutations import FAULTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_made(fault):
    assert (ROOT / fault.file).read_text().count(fault.right) == 1
    assert fault.wrong != fault.right
    assert all((ROOT / test.partition("::")[0]).exists() for test in fault.tests)
