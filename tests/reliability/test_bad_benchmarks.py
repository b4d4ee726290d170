"""Suites, tasks, data and settings that cannot be run."""

from pathlib import Path

import pytest

from tests.labels import write_task
from tests.reliability.mistakes import Mistake, all_of, check, write

BENCH = ("bench", "run", "own", "--model", "scratch", "--data", "tasks", "-o", "new")
GUE = ("bench", "run", "gue", "--model", "scratch", "--data", "tasks", "-o", "new")


def tasks():
    write_task(Path("tasks/small"), 16)


def gue(place):
    """A data set at a place."""
    return lambda: write_task(Path("tasks") / place, 16)


MISTAKES = {
    f"bench run: {case}": mistake
    for case, mistake in {
        "no suite": Mistake(["bench", "run", "--model", "scratch", "--data", "tasks"], tasks),
        "two suites": Mistake([*BENCH, "gue"], tasks),
        "a suite misspelt": Mistake(["bench", "run", "geu", "--model", "scratch", "--data", "tasks"], tasks),
        "no model": Mistake(["bench", "run", "own", "--data", "tasks"], tasks),
        "a model that is not there": Mistake(
            ["bench", "run", "own", "--model", "rum", "--data", "tasks", "-o", "new"], tasks
        ),
        "a width for a model that has one": Mistake(
            ["bench", "run", "own", "--model", "run", "--data", "tasks", "model.hidden_size=8"], tasks
        ),
        "no folder": Mistake(BENCH),
        "a file for a suite": Mistake(
            ["bench", "run", "gue", "--model", "scratch", "--data", "genome.fa", "-o", "new"], tasks
        ),
        "no task of the suite": Mistake(GUE, tasks),
        "nothing in the folder": Mistake(BENCH, lambda: Path("tasks").mkdir()),
        "no labels in the folder": Mistake(
            BENCH, lambda: (Path("tasks").mkdir(), Path("tasks/x.csv").write_text("sequence,class\nAC,1\n"))
        ),
        "a task misspelt": Mistake([*BENCH, "--tasks", "smal"], tasks),
        "a task that is not there": Mistake([*GUE, "--tasks", "tf/1"], gue("tf/0")),
        "a task that two folders hold": Mistake(GUE, all_of(gue("tf/0"), gue("human_tf_0"))),
        "a task with a damaged table": Mistake(
            GUE, all_of(gue("tf/0"), lambda: Path("tasks/tf/0/test.csv").write_text("sequence,label\nACXT,at\n"))
        ),
        "seed among the settings": Mistake([*BENCH, "seed=1"], tasks),
        "another start": Mistake([*BENCH, "start=run"], tasks),
        "folds of another protocol": Mistake([*BENCH, "--folds", "3"], tasks),
        "a protocol that there is not": Mistake([*BENCH, "--protocol", "redraw"], tasks),
        "one left out for a correlation": Mistake([*BENCH, "--protocol", "leave_one_out"], tasks),
        "a seed that is no number": Mistake([*BENCH, "--seeds", "1", "x"], tasks),
        "a name without a letter": Mistake([*BENCH, "--name", "+"], tasks),
        "a setting that there is not": Mistake([*BENCH, "--tasks", "small", "optim.rate=1"], tasks),
        "a metric of other targets": Mistake([*BENCH, "--tasks", "small", "train.metric=pearson"], tasks),
        "no test part": Mistake(
            [*BENCH, "--tasks", "small", "data.test_fraction=0"],
            all_of(tasks, lambda: Path("tasks/small/test.csv").unlink()),
        ),
        "onto a file": Mistake([*BENCH[:-1], "genome.fa"], tasks),
        "a record that is no JSON": Mistake(
            BENCH, all_of(tasks, lambda: Path("new/scratch").mkdir(parents=True), write("new/scratch/bench.json", "{"))
        ),
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_is_refused_in_one_line_that_helps(case, world):
    check(case, MISTAKES[case])
    assert not Path("new/table.md").exists()
