"""The log: its columns, and how a resumed run cuts it back."""

import pytest

from dnadiff.errors import InputError
from dnadiff.training.log import Log

HEADER = (
    "step,samples,tokens,seconds,lr,grad_norm,train_bits_per_base,empty_windows,"
    "valid_bits_per_base,valid_standard_error,clip_low,clip_high\n"
)
LINE = {"step": 10, "samples": 80, "tokens": 2560, "seconds": 1.26}


def test_a_line_has_a_cell_a_column(tmp_path):
    log = Log(tmp_path)
    log.write(LINE | {"lr": 1e-3, "grad_norm": 0.5, "train_bits_per_base": 1.9876543, "empty_windows": 2})
    log.write(LINE | {"step": 12, "valid_bits_per_base": 1.9, "valid_standard_error": 0.01})
    log.close()
    lines = "10,80,2560,1.3,1.000e-03,0.5000,1.98765,2,,,,\n12,80,2560,1.3,,,,,1.90000,0.01000,,\n"
    assert (tmp_path / "log.csv").read_text() == HEADER + lines
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_resumed_log_is_cut_back_to_the_checkpoint(tmp_path):
    log = Log(tmp_path)
    log.write(LINE)
    kept, size = (tmp_path / "log.csv").read_text(), log.size
    log.write(LINE | {"step": 20})
    log.close()
    with (tmp_path / "log.csv").open("a") as file:
        file.write("30,24")  # torn by a crash
    log = Log(tmp_path, size, 10)
    assert (tmp_path / "log.csv").read_text() == kept
    log.write(LINE | {"step": 11})
    log.close()
    assert (tmp_path / "log.csv").read_text() == kept + "11,80,2560,1.3,,,,,,,,\n"


def test_a_log_that_lost_lines_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"log\.csv: has 0 bytes, fewer than the 50 it had at step 7"):
        Log(tmp_path, 50, 7)
