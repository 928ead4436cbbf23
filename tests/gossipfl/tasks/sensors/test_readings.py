"""Tables of readings: what is read, what grows, and what is refused with its place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from gossipfl.errors import LocalError
from gossipfl.tasks.sensors import readings as module
from gossipfl.tasks.sensors.readings import Readings
from tests.gossipfl.tasks.sensors import cities

VALUES = cities.speeds(40, 5)


def everything(ids: Sequence[str]) -> Sequence[int]:
    return range(len(ids))


def third(_: Sequence[str]) -> Sequence[int]:
    return [2]


@pytest.mark.parametrize("times", [False, True])
def test_a_device_keeps_its_own_column(tmp_path: Path, *, times: bool) -> None:
    found = Readings(cities.write(tmp_path / "city.csv", VALUES, times=times), third)
    assert found.sensors == ("102",)
    assert found.rows == 40
    assert np.allclose(found.values, VALUES[:, 2:3], atol=1e-3)
    assert np.allclose(found.hours, np.arange(40) * 5 / 60)


def test_rows_without_times_begin_at_midnight_and_go_round_the_clock(tmp_path: Path) -> None:
    hours = Readings(cities.write(tmp_path / "city.csv", VALUES), third, minutes=60).hours
    assert hours[:3].tolist() == [0, 1, 2]
    assert hours[24:27].tolist() == [0, 1, 2]


def test_what_is_missing_is_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,\nnan,2\n NA ,inf\n\n3,4\n")
    found = Readings(path, everything)
    assert np.array_equal(found.values, np.array([[1, np.nan], [np.nan, 2], [np.nan, np.nan], [3, 4]]), equal_nan=True)


def test_a_folder_stands_for_its_speeds(tmp_path: Path) -> None:
    cities.write(tmp_path / "los_speed.csv", VALUES)
    (tmp_path / "los_adj.csv").write_text("1,0\n0,1\n")
    (tmp_path / "readme.txt").write_text("x")
    assert Readings(tmp_path, everything).path.name == "los_speed.csv"
    cities.write(tmp_path / "old_speed.csv", VALUES)
    with pytest.raises(LocalError, match=r"which file has the readings\? There are los_speed.csv, old_speed.csv"):
        Readings(tmp_path, everything)


def test_a_table_that_grows_is_read_on_to_its_last_whole_line(tmp_path: Path) -> None:
    path = cities.write(tmp_path / "city.csv", VALUES)
    found = Readings(path, third)
    assert found.refresh() == 0
    more = cities.rows(VALUES[:3])
    with path.open("a") as file:
        file.write("\n".join(more)[:-4])
    assert found.refresh() == 2
    with path.open("a") as file:
        file.write("\n".join(more)[-4:] + "\n")
    assert found.refresh() == 1
    assert found.rows == 43
    assert np.allclose(found.values[-3:], VALUES[:3, 2:3], atol=1e-3)


def test_a_table_that_was_cut_is_read_from_its_start(tmp_path: Path) -> None:
    path = cities.write(tmp_path / "city.csv", VALUES)
    found = Readings(path, third)
    cities.write(path, VALUES[:4])
    assert found.refresh() == 4
    assert found.rows == len(found.values) == len(found.hours) == 4


def test_the_newest_rows_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 10)
    path = cities.write(tmp_path / "city.csv", VALUES)
    found = Readings(path, third)
    with path.open("a") as file:
        file.write("\n".join(cities.rows(VALUES[:3])) + "\n")
    found.refresh()
    assert found.rows == 43
    assert np.allclose(found.values[:, 0], np.r_[VALUES[-7:, 2], VALUES[:3, 2]], atol=1e-3)
    assert np.allclose(found.hours, np.arange(33, 43) * 5 / 60)


@pytest.mark.parametrize("times", [False, True])
def test_parquet_is_read_alike(tmp_path: Path, *, times: bool) -> None:
    values = VALUES.copy()
    values[3, 2] = np.nan
    columns = {f"{100 + k}": pa.array(values[:, k], from_pandas=True) for k in range(5)}
    when = (np.datetime64("2026-03-01") + 5 * np.arange(40).astype("timedelta64[m]")).astype("datetime64[ms]")
    parquet.write_table(pa.table({"time": when, **columns} if times else columns), tmp_path / "city.parquet")
    found = Readings(tmp_path / "city.parquet", third)
    same = Readings(cities.write(tmp_path / "city.csv", values, times=times), third)
    assert (found.sensors, found.rows) == (same.sensors, same.rows)
    assert np.allclose(found.values, same.values, atol=1e-3, equal_nan=True)
    assert np.allclose(found.hours, same.hours)
    assert found.refresh() == 0


def test_without_pyarrow_parquet_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "city.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(LocalError, match=r"gossipfl\[parquet\]"):
        Readings(tmp_path / "city.parquet", third)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "", "the header names no sensor"),
        ("a.csv", "time\n2026-01-01\n", "the header names no sensor"),
        ("a.csv", "a,b,a\n1,2,3\n", "the header names 'a' twice"),
        ("a.csv", "a,b,c\n1,2,3\n1,2,x\n", "row 2: 'x' is no number"),
        ("a.csv", "a,b,c\n1,2\n", "row 1: 2 columns"),
        ("a.csv", "time,a,b,c\nnoon,1,2,3\n", "row 1: 'noon' is no time"),
        ("a.txt", "a\n1\n", "suffix '.txt': allowed are .csv and .parquet"),
        ("a.parquet", "a\n1\n", "can't be read as Parquet"),
    ],
)
def test_what_can_t_be_read_is_refused_with_its_place(tmp_path: Path, name: str, content: str, reason: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(LocalError, match=reason) as caught:
        Readings(path, third)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"nowhere\.csv: no such file"):
        Readings(tmp_path / "nowhere.csv", third)
