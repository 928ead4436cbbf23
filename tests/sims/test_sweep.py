"""Sweeps: grids as people write them, files that survive a kill, one result whatever ran it, and intervals."""

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from scipy.stats import sem
from scipy.stats import t as student

from gossipfl.errors import LocalError
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.files import load
from gossipfl_sims.sweep.drawing import draw
from gossipfl_sims.sweep.grid import Plan, parse_grid, plan, written
from gossipfl_sims.sweep.rows import FIELDS, Row
from gossipfl_sims.sweep.summary import Interval, Summary, as_dict, interval, summarise, table
from gossipfl_sims.sweep.sweep import sweep

SMALL = ("nodes=4", "task.name=consensus", "interval=1", "faulty=4", "healed=2")
GRID = ("topology=ring,k-out:k=2", "loss=0,0.3")
TASKS = """
import os
from gossipfl_sims.tasks.consensus import consensus


def failing(node):
    if node.seed == 1 and not os.path.exists("mended"):
        raise ValueError("seed one\\nis bad")
    return consensus(node)


def dying(node):
    if node.seed == 1:
        os._exit(7)
    return consensus(node)
"""
PROGRAM = """
import sys
from pathlib import Path
from gossipfl_sims.sweep.grid import parse_grid, plan
from gossipfl_sims.sweep.sweep import sweep

made = plan("chaos", parse_grid({grid!r}), range({seeds}), {changes!r})
sweep(made, jobs=2, out=Path(sys.argv[1]), progress=lambda done, total, row: print(done, flush=True))
"""


def small(seeds: int = 2, grid: tuple[str, ...] = GRID, changes: tuple[str, ...] = SMALL) -> Plan:
    return plan("chaos", parse_grid(grid), range(seeds), changes)


def lines(path: Path) -> list[list[str]]:
    """What is in the file, but for the time it took."""
    spent = FIELDS.index("cpu_seconds") - len(FIELDS)
    with path.open(newline="") as file:
        return [[*row[:spent], *row[spent + 1 :]] for row in csv.reader(file)]


def counted(made: Plan, out: Path) -> int:
    """Runs that a sweep did not find in its file."""
    ran: list[Row] = []
    sweep(made, jobs=1, out=out, progress=lambda _done, _total, row: ran.append(row) if row else None)
    return len(ran)


# --- grids


def test_a_grid_has_full_keys_and_values_as_in_toml() -> None:
    assert parse_grid(["topology=ring,k-out:k=1", "loss=0,0.1", "bandwidth=inf"]) == {
        "gossip.topology": ("ring", "k-out:k=1"),
        "network.loss": (0, 0.1),
        "network.bandwidth": (float("inf"),),
    }


def test_commas_inside_parameters_and_quotes_separate_no_values() -> None:
    grid = parse_grid(["topology=ring,watts-strogatz:k=4,p=0.2,star", 'data="a,b.csv", c.csv'])
    assert grid["gossip.topology"] == ("ring", "watts-strogatz:k=4,p=0.2", "star")
    assert grid["task.data"] == ("a,b.csv", "c.csv")


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["loss"], "KEY=VALUE,VALUE"),
        (["los=1"], "--grid los: there is no such key; did you mean loss?"),
        (["error=1", "loss=1,"], "--grid loss=1,: there is an empty value"),
        (["loss="], "empty value"),
        (["loss=0,0.0"], "network.loss = 0.0 is there twice"),
        (["loss=0", "network.loss=1"], "network.loss is already in the grid"),
        (["topology=ring,k=2"], "k=2 reads like a parameter; write ring:k=2"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(texts: list[str], told: str) -> None:
    with pytest.raises(LocalError) as error:
        parse_grid(texts)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("grid", "changes", "told"),
    [
        ("loss=0,2", (), "the cell network.loss = 2: "),
        ("topology=ring,rnig", (), "the cell gossip.topology = rnig: "),
        ("task.name=consensus,digit", (), "did you mean 'digits'?"),
        ("nodes=4,2", ("slow=3",), "the cell nodes = 2: "),
        ("loss=0,0.1", ("loss=0.2",), "--set loss=0.2: network.loss is in the grid as well"),
    ],
)
def test_every_cell_is_checked_before_anything_runs(grid: str, changes: tuple[str, ...], told: str) -> None:
    with pytest.raises(LocalError) as error:
        plan("chaos", parse_grid([grid]), range(2), changes)
    assert told in str(error.value)


def test_the_fingerprint_is_of_what_the_cells_have_in_common() -> None:
    made = small().fingerprint
    assert made == small(5, ("loss=0.7", "topology=complete")).fingerprint
    assert made != small(changes=(*SMALL, "latency=0.3")).fingerprint
    assert made != small(grid=GRID[:1]).fingerprint


@pytest.mark.parametrize("value", [0, 0.1, float("inf"), "ring", "7", "a b", 'a"b', "true", "", "x = 1"])
def test_a_value_is_written_so_that_it_can_be_read(value: object) -> None:
    key = "task.data" if isinstance(value, str) else "network.bandwidth"
    read = load("chaos", [f"{key}={written(value)}"]) if value != 0 else None
    assert read is None or value in (read.task.data, read.network.bandwidth)


def test_a_row_is_what_one_run_gives() -> None:
    made = small(grid=("loss=0.3",))
    row = sweep(made, jobs=1).rows[1]
    result = Run(load("chaos", [*SMALL, "loss=0.3"]), 1).finish()
    assert (row.values, row.seed, row.trace_hash) == ((0.3,), 1, result.trace_hash)
    assert (row.error, row.faults, row.unmet) == (result.error, result.faults, len(result.unmet))
    assert row.error is not None
    assert row.faults


def test_two_jobs_find_what_one_does(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    outcomes = [sweep(small(), jobs=jobs, out=path) for jobs, path in ((1, one), (2, two))]
    hashes = [[row.trace_hash for row in outcome.rows] for outcome in outcomes]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 8
    assert lines(one) == lines(two)


def test_ray_finds_what_one_job_does() -> None:
    pytest.importorskip("ray", reason="ray is an extra that the checks do not install")
    assert [row.trace_hash for row in sweep(small(), engine="ray", jobs=2).rows] == [
        row.trace_hash for row in sweep(small(), jobs=1).rows
    ]


def test_without_ray_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LocalError, match=r"pip install 'gossipfl\[ray\]'"):
        sweep(small(), engine="ray")


def test_a_run_that_fails_takes_no_other_with_it_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tasks.py").write_text(TASKS)
    made = small(3, changes=("nodes=4", "task.name=tasks.py:failing", *SMALL[2:]))
    outcome = sweep(made, jobs=1, out=tmp_path / "out.csv")
    assert [(row.seed, row.error_text) for row in outcome.failed] == [(1, "ValueError: seed one is bad")] * 4
    assert [one.failed for one in summarise(outcome)] == [1] * 4
    assert [one.measures["error"].runs for one in summarise(outcome)] == [2] * 4
    Path("mended").touch()
    again = sweep(made, jobs=1, out=tmp_path / "out.csv")
    assert (again.before, again.failed) == (8, ())
    assert lines(tmp_path / "out.csv")[1:] == sorted(lines(tmp_path / "out.csv")[1:])


def test_of_a_process_that_dies_the_others_rows_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tasks.py").write_text(TASKS)
    made = small(3, changes=("nodes=4", "task.name=tasks.py:dying", *SMALL[2:]))
    seen: list[int] = []
    with pytest.raises(LocalError, match="a process of the sweep died"):
        sweep(made, jobs=2, out=tmp_path / "out.csv", progress=lambda done, _total, _row: seen.append(done))
    assert len(lines(tmp_path / "out.csv")) == 1 + seen[-1]


def test_a_second_call_does_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert counted(small(1), out) == 4
    assert counted(small(1), out) == 0
    assert counted(small(2), out) == 4
    assert counted(small(2, ("loss=0.3,0.5", "topology=ring")), out) == 2
    assert [row[:3] for row in lines(out)[1:]] == sorted(row[:3] for row in lines(out)[1:])
    whole = tmp_path / "whole.csv"
    sweep(small(2), jobs=1, out=whole)
    assert [row for row in lines(out) if row[1] != "0.5"] == lines(whole)


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_run_again(tmp_path: Path, cut: int) -> None:
    out, whole = tmp_path / "out.csv", tmp_path / "whole.csv"
    sweep(small(), jobs=1, out=whole)
    out.write_bytes(whole.read_bytes()[:-cut])
    missing = len(whole.read_bytes()[-cut:].splitlines())
    assert counted(small(), out) == missing
    assert lines(out) == lines(whole)


def test_a_file_torn_in_its_first_line_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("gossip.topology,network.l")
    assert counted(small(1), tmp_path / "out.csv") == 4


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda _: "a,b\n1,2\n", "this is not the file of a sweep"),
        (lambda _: "a word", "this is not the file of a sweep"),
        (lambda text: text.replace("network.loss", "network.latency"), "it has the grid keys"),
        (lambda text: text.replace(",0.1.", ",0.0."), "they need not agree"),
        (lambda text: text.replace(small().fingerprint, small(grid=GRID[:1]).fingerprint), "other --set values"),
        (lambda text: text.replace("\n", ",\n").replace(",\n", "\n", 1), ":2: 20 columns, the first line has 19"),
        (lambda text: text.replace(",0,", ",zero,"), ":2: Expected `int`"),
    ],
)
def test_another_file_is_refused_and_left_alone(tmp_path: Path, spoil: Callable[[str], str], told: str) -> None:
    out = tmp_path / "out.csv"
    sweep(small(1), jobs=1, out=out)
    out.write_text(spoil(out.read_text()))
    before = out.read_bytes()
    with pytest.raises(LocalError) as error:
        sweep(small(1), jobs=1, out=out)
    assert told in str(error.value)
    assert out.read_bytes() == before


def test_two_sweeps_do_not_write_to_one_file(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with out.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LocalError, match="another sweep is writing to it"):
            sweep(small(1), jobs=1, out=out)


# --- interruptions


def begun(out: Path, rows: int) -> tuple["subprocess.Popen[str]", list[int]]:
    """A sweep in a process of its own that has done so many rows, and its workers."""
    program = PROGRAM.format(grid=GRID, seeds=12, changes=SMALL)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == rows:
            break
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(workers) >= 2
    return process, workers


def end(pids: list[int]) -> bool:
    """Do these processes end within 10 s? One that only waits to be reaped has."""
    until = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_killed_sweep_left_is_completed(tmp_path: Path) -> None:
    out, whole = tmp_path / "out.csv", tmp_path / "whole.csv"
    process, workers = begun(out, 10)
    process.kill()
    process.communicate()
    assert end(workers)
    kept = len(out.read_bytes().splitlines()) - 1
    assert 10 <= kept < 48
    assert counted(small(12), out) == 48 - kept
    sweep(small(12), jobs=1, out=whole)
    assert lines(out) == lines(whole)


def test_an_interrupted_sweep_ends_with_its_workers_and_keeps_its_rows(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    process, workers = begun(out, 5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, talk = process.communicate(timeout=20)
    assert end(workers)
    assert talk.rstrip().endswith("KeyboardInterrupt")
    assert "Warning" not in talk
    assert 6 <= len(out.read_bytes().splitlines()) < 49


# --- what the seeds say together


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.3, 0.1, 0.7, 0.2], [5.0] * 3])
def test_intervals_are_students(values: list[float]) -> None:
    made = interval(values)
    low, high = student.interval(0.95, len(values) - 1, loc=made.mean, scale=sem(values) or 1e-300)
    assert made.half == pytest.approx((high - low) / 2, abs=1e-12)


def test_nineteen_in_twenty_intervals_of_ten_normal_values_hold_the_mean() -> None:
    made = [interval(values) for values in np.random.default_rng(0).standard_normal((2000, 10)).tolist()]
    held = sum(one.half is not None and abs(one.mean) <= one.half for one in made)
    assert 0.94 < held / 2000 < 0.96


def test_the_table_has_a_line_for_each_cell() -> None:
    outcome = sweep(small(), jobs=1)
    head, rows = table(outcome.plan.keys, summarise(outcome))
    assert head[:5] == ["topology", "loss", "runs", "error", "disagreement"]
    assert [row[:3] for row in rows] == [
        ["ring", "0", "2"], ["ring", "0.3", "2"], ["k-out:k=2", "0", "2"], ["k-out:k=2", "0.3", "2"],
    ]  # fmt: skip
    assert all("±" in row[3] for row in rows)


def test_json_has_the_cells_and_the_rows_even_with_infinities() -> None:
    outcome = sweep(small(1, ("bandwidth=10000,inf",)), jobs=1)
    made = json.loads(json.dumps(as_dict(outcome, summarise(outcome)), allow_nan=False))
    assert [cell["values"] for cell in made["cells"]] == [{"network.bandwidth": 10000.0}, {"network.bandwidth": "inf"}]
    assert made["cells"][0]["error"]["mean"] == made["rows"][0]["error"] == outcome.rows[0].error
    assert made["cells"][0]["error"]["half"] is None


def cells(*values: tuple[object, ...]) -> list[Summary]:
    return [
        Summary(values=one, runs=3, failed=0, broken=0, unmet=0, measures={"error": Interval(float(number), 0.5, 3)})
        for number, one in enumerate(values)
    ]


def errorbars(axes: Axes) -> list[ErrorbarContainer]:
    return [one for one in axes.containers if isinstance(one, ErrorbarContainer)]


def points(bar: ErrorbarContainer) -> list[list[float]]:
    assert bar.lines[0] is not None
    made: list[list[float]] = np.asarray(bar.lines[0].get_xydata()).tolist()
    return made


def test_numbers_lie_along_x_with_a_colour_for_each_category_and_a_panel_for_the_third_key() -> None:
    made = cells(*((name, loss, n) for name in ("ring", "star") for loss in (0.0, 0.1, 0.4) for n in ("a", "b")))
    figure = draw(("gossip.topology", "network.loss", "task.name"), made)
    assert [axes.get_title() for axes in figure.axes] == ["name = a", "name = b"]
    bars = errorbars(figure.axes[1])
    assert [bar.get_label() for bar in bars] == ["ring", "star"]
    aside = 0.0025
    assert np.array(points(bars[0])) == pytest.approx(np.array([[0 - aside, 1], [0.1 - aside, 3], [0.4 - aside, 5]]))
    assert [x for x, _ in points(bars[1])] == pytest.approx([0 + aside, 0.1 + aside, 0.4 + aside])
    assert bars[0].lines[2][0].get_segments()[1][:, 1].tolist() == [2.5, 3.5]
    assert len({bar.lines[0].get_color() for bar in bars if bar.lines[0] is not None}) == 2
    assert len({bar.lines[0].get_marker() for bar in bars if bar.lines[0] is not None}) == 2


def test_categories_lie_side_by_side_and_infinity_is_one() -> None:
    axes = draw(("network.bandwidth",), cells((1e4,), (float("inf"),))).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10000", "inf"]
    assert points(errorbars(axes)[0]) == [[0.0, 0.0], [1.0, 1.0]]
    assert axes.get_xlabel() == "bandwidth"


def test_a_sweep_of_seeds_alone_is_drawn(tmp_path: Path) -> None:
    outcome = sweep(small(3, ()), jobs=1)
    draw((), summarise(outcome)).savefig(tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000


def test_what_no_run_has_is_not_drawn() -> None:
    with pytest.raises(LocalError, match="no run has mean_accuracy; there is error"):
        draw(("network.loss",), cells((0.0,), (0.1,)), "mean_accuracy")
