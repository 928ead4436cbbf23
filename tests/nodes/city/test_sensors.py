"""The city's files: what is read, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipfl.errors import LocalError
from gossipfl_nodes.city.sensors import Sensor, header, read, split

ADDRESSES = {
    "192.0.2.7": "/ip4/192.0.2.7/tcp/9444",
    "192.0.2.7:17": "/ip4/192.0.2.7/tcp/17",
    "sensor-7.city.example": "/dns4/sensor-7.city.example/tcp/9444",
    "/ip6/2001:db8::7/tcp/9444": "/ip6/2001:db8::7/tcp/9444",
    "": "",
}
REFUSED = {
    "name\na\n": "1: column 'name': allowed are id, latitude, longitude, address",
    "id,latitud,longitude\na,1,2\n": "1: column 'latitud': did you mean latitude?",
    "latitude,longitude\n1,2\n": "1: no column id",
    "id,id\na,b\n": "1: a column twice",
    "id,latitude\na,1\n": "1: of latitude and longitude only one",
    "id\n": ": no sensor",
    "": "1: no column id",
    "id\na\n\nb\na\n": "5: id = 'a': it is there already",
    "id\n../a\n": "2: id = '../a': allowed are 1 to 40 letters",
    "id,address\na\n": "2: 1 columns; the header has 2",
    "id,latitude,longitude\na,34.1,-118.2\nb,91,0\n": "3: latitude = '91': allowed are degrees, -90 to 90",
    "id,latitude,longitude\na,34.1,west\n": "2: longitude = 'west': allowed are degrees, -180 to 180",
    "id,latitude,longitude\na,34.1,nan\n": "2: longitude = 'nan'",
    "id,latitude,longitude\na,34.1,\n": "2: latitude alone",
    "id,latitude,longitude\na,34.1,2\nb,,\n": ": sensor b has no position and others have",
    "id,address\na,192.0.2.7:port\n": "2: address = '192.0.2.7:port': allowed are HOST, HOST:PORT",
    "id,address\na,/ip4/192.0.2.7\n": "2: address = '/ip4/192.0.2.7': not where TCP can be dialled",
    'id\n"a\n': ":",
}


def test_all_columns_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "sensors.csv"
    path.write_text("\ufeffAddress, longitude ,latitude,ID\n192.0.2.7,-118.2,34.1,bridge-1\n,-118.3,34.2,717804\n")
    assert read(path) == [
        Sensor("bridge-1", 34.1, -118.2, "/ip4/192.0.2.7/tcp/9444"), Sensor("717804", 34.2, -118.3),
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "address"), ADDRESSES.items())
def test_addresses(tmp_path: Path, text: str, address: str) -> None:
    path = tmp_path / "sensors.csv"
    path.write_text(f"id,address\na,{text}\n")
    assert read(path)[0].address == address


@pytest.mark.parametrize(("text", "told"), REFUSED.items())
def test_what_is_refused_is_told_with_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "sensors.csv"
    path.write_text(text)
    with pytest.raises(LocalError) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}:{told.removeprefix(':')}" if told[0] != ":" else f"{path}:")
    assert told.partition(": ")[2] in str(refused.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file"):
        read(tmp_path / "none.csv")
    (tmp_path / "raw.csv").write_bytes(b"id\n\xff\n")
    with pytest.raises(LocalError, match="UTF-8"):
        read(tmp_path / "raw.csv")


def test_each_sensor_gets_its_own_column_with_the_times(tmp_path: Path) -> None:
    path = tmp_path / "speeds.csv"
    path.write_text("time,a,b\n2026-03-01 00:00,61,\n2026-03-01 00:05,60,44\n")
    assert header(path) == ["a", "b"]
    assert dict(split(path, ["b"])) == {"b": "time,b\n2026-03-01 00:00,nan\n2026-03-01 00:05,44\n"}


def test_a_missing_reading_of_a_table_without_times_is_a_line_too(tmp_path: Path) -> None:
    path = tmp_path / "speeds.csv"
    path.write_text("a,b\n61,\n,44\n")
    assert dict(split(path, ["a", "b"])) == {"a": "a\n61\nnan\n", "b": "b\nnan\n44\n"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "speeds.csv:1: no column for sensor 'c'; the header names a, b"),
        ("a,cc\n1,2\n", "speeds.csv:1: no column for sensor 'c'; did you mean 'cc'?"),
        ("c,b\n1,2\n3\n", "speeds.csv:3: 1 columns; the header has 2"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "speeds.csv"
    path.write_text(text)
    with pytest.raises(LocalError) as refused:
        dict(split(path, ["c"]))
    assert told in str(refused.value)
