"""npz: shards from one file; whatever is wrong with it is told with the file's and the array's name."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipfl.errors import LocalError
from gossipfl.tasks.mlp import scaled
from gossipfl.tasks.npz import HIDDEN, STEPS, npz
from gossipfl.tasks.task import Node

ROWS = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6)
LABELS = np.array([0, 1, 2, 1])


def arrays(shards: int = 3) -> dict[str, Any]:
    made: dict[str, Any] = {"x_test": ROWS, "y_test": LABELS}
    for shard in range(shards):
        made |= {f"x{shard}": ROWS + np.uint8(shard), f"y{shard}": LABELS}
    return made


def file_with(folder: Path, **changed: Any) -> Path:
    """A good file but for `changed`; None leaves an array out."""
    path = folder / "data.npz"
    np.savez(path, **{name: array for name, array in (arrays() | changed).items() if array is not None})
    return path


def test_a_node_gets_its_shard_scaled_to_one(tmp_path: Path) -> None:
    task = npz(Node(1, 3, data=file_with(tmp_path)))
    assert np.allclose(scaled(task._x), (ROWS + 1) / 255)
    assert (task._y == LABELS).all()
    assert np.allclose(scaled(task._x_test), ROWS / 255)
    assert [tensor.shape for tensor in task.schema.tensors] == [(6, HIDDEN), (HIDDEN,), (HIDDEN, 3), (3,)]
    assert task.steps == STEPS


def test_bytes_stay_bytes_and_learn_as_the_floats_that_they_stand_for(tmp_path: Path) -> None:
    floats = ROWS.astype(np.float32) / 255
    tasks = [npz(Node(0, 3, data=file_with(tmp_path, x0=rows))) for rows in (ROWS, floats)]
    assert [task._x.dtype for task in tasks] == [np.uint8, np.float32]
    vectors = [task.initial() for task in tasks]
    for task, vector in zip(tasks, vectors, strict=True):
        task.train(vector, 5, np.random.default_rng(0))
    assert vectors[0].tobytes() == vectors[1].tobytes()
    assert tasks[0].evaluate(vectors[0]) == tasks[1].evaluate(vectors[1])


def test_shards_of_bytes_and_of_floats_go_together(tmp_path: Path) -> None:
    task = npz(Node(0, 2, data=file_with(tmp_path, x2=(ROWS + 2).astype(np.float64) / 255)))
    assert np.allclose(scaled(task._x), np.concatenate([ROWS, ROWS + 2]) / 255)


def test_shards_are_dealt_out_among_fewer_nodes(tmp_path: Path) -> None:
    path = file_with(tmp_path)
    one, other = npz(Node(0, 2, data=path)), npz(Node(1, 2, data=path))
    assert np.allclose(scaled(one._x), np.concatenate([ROWS, ROWS + 2]) / 255)
    assert np.allclose(scaled(other._x), (ROWS + 1) / 255)
    assert (one.initial() == other.initial()).all()


def test_floats_are_taken_as_they_are_and_rows_of_any_shape(tmp_path: Path) -> None:
    floats = np.linspace(-3, 3, 24).reshape(4, 2, 3)
    task = npz(Node(0, 3, data=file_with(tmp_path, x0=floats)))
    assert np.allclose(task._x, floats.reshape(4, 6))


def test_it_learns_what_is_in_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=300)
    x = (rng.standard_normal((300, 6)) * 0.3 + np.eye(6)[y] * 2).astype(np.float32)
    data = {"x0": x[:200], "y0": y[:200], "x_test": x[200:], "y_test": y[200:]}
    task = npz(Node(0, 1, data=file_with(tmp_path, **data, x1=None, x2=None)))
    vector = task.initial()
    task.train(vector, 300, rng)
    assert task.evaluate(vector)["accuracy"] > 0.95


def test_a_node_that_does_not_train_needs_no_shards(tmp_path: Path) -> None:
    path = file_with(tmp_path, **{name: None for name in arrays() if "test" not in name})
    with pytest.raises(LocalError, match="has 0 shards"):
        npz(Node(0, 3, data=path))
    task, other = npz(Node(0, 3, data=path, trains=False)), npz(Node(0, 3, data=file_with(tmp_path)))
    vector = other.initial()
    assert (task.schema, task.evaluate(vector)) == (other.schema, other.evaluate(vector))
    with pytest.raises(LocalError, match="only predicts"):
        task.train(vector, 1, np.random.default_rng(0))


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a missing array of inputs": ({"x_test": None}, "has no array 'x_test'"),
    "missing labels": ({"y0": None}, "has no array 'y0'"),
    "missing test labels": ({"y_test": None}, "has no array 'y_test'"),
    "inputs of strings": ({"x0": np.array([["a"]])}, "array 'x0' is <U1"),
    "inputs of whole numbers": ({"x0": ROWS.astype(np.int64)}, "array 'x0' is int64"),
    "inputs of one dimension": ({"x0": ROWS[0]}, r"array 'x0' is uint8 \(6,\)"),
    "inputs of no dimension": ({"x0": np.float32(1)}, "array 'x0' is float32"),
    "inputs that are not numbers": ({"x0": np.full((4, 6), np.nan)}, "array 'x0' has values that are not finite"),
    "inputs that are infinite": ({"x_test": np.full((4, 6), np.inf)}, "array 'x_test' has values that are not"),
    "inputs beyond float32": ({"x0": np.full((4, 6), 1e300)}, "array 'x0' has values that are not finite"),
    "labels of floats": ({"y0": LABELS.astype(float)}, "array 'y0' is float64"),
    "labels in two dimensions": ({"y_test": ROWS}, "array 'y_test' is uint8"),
    "labels that the test set lacks": ({"y0": LABELS + 1}, "labels 1 to 3; allowed are 0 to 2"),
    "negative labels": ({"y0": LABELS - 1}, "labels -1 to 1"),
    "fewer labels than rows": ({"y0": LABELS[1:]}, "train data"),
    "other features in the test set": ({"x_test": ROWS[:, :5]}, "rows of 5 features; training rows have 6"),
    "no test rows": ({"x_test": ROWS[:0], "y_test": LABELS[:0]}, "test"),
    "no rows": ({"x0": ROWS[:0], "y0": LABELS[:0]}, "x0|train"),
    "labels beyond any class": ({"y_test": LABELS + 2**60}, "label"),
    "too few shards": ({"x0": None, "x1": None}, "has 1 shards .*, too few for node 1 of 3; run at most 1 nodes"),
    "no shards": ({"x0": None, "x1": None, "x2": None}, "has 0 shards"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_does_not_do_is_refused_by_name(tmp_path: Path, name: str) -> None:
    changed, reason = BAD[name]
    path = file_with(tmp_path, **changed)
    index = 1 if "shards" in name else 0
    with pytest.raises(LocalError, match=reason) as caught:
        npz(Node(index, 3, data=path))
    assert str(caught.value).startswith(f"{path}: ")


def test_an_object_array_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "unpickled"
    path = file_with(tmp_path, x0=np.array([[Trap(mark)]], dtype=object))
    with pytest.raises(LocalError, match="array 'x0' can't be read"):
        npz(Node(0, 3, data=path))
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 torn", b"\x80\x04K\x01.", b"\x93NUMPY\x01"])
def test_what_is_no_npz_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(LocalError, match="not an npz file"):
        npz(Node(0, 1, data=path))


def test_a_file_that_is_not_there_a_folder_and_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"no such file; name an \.npz file"):
        npz(Node(0, 1, data=tmp_path / "nothing.npz"))
    with pytest.raises(LocalError, match="can't be read: Is a directory"):
        npz(Node(0, 1, data=tmp_path))
    with pytest.raises(LocalError, match="no data file; name one with --data"):
        npz(Node(0, 1))


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, ROWS)
    with pytest.raises(LocalError, match="a single array"):
        npz(Node(0, 1, data=path))


def test_an_array_damaged_on_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    noise = np.random.default_rng(0).integers(0, 50, (50, 6), dtype=np.uint8)
    np.savez_compressed(path, **arrays() | {"x0": noise, "y0": np.zeros(50, int)})
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("x0.npy")
    raw = bytearray(path.read_bytes())
    for at in range(member.header_offset + 40, member.header_offset + 40 + member.compress_size - 10):
        raw[at] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(LocalError, match="array 'x0' can't be read"):
        npz(Node(0, 3, data=path))


def test_a_member_that_is_no_array_is_named(tmp_path: Path) -> None:
    path = file_with(tmp_path, x0=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x0", "these are no numbers")
    with pytest.raises(LocalError, match=r"data\.npz: 'x0' is not an array"):
        npz(Node(0, 3, data=path))


def test_a_name_with_a_digit_that_is_no_number_is_no_shard(tmp_path: Path) -> None:
    task = npz(Node(0, 3, data=file_with(tmp_path, **{"x²": ROWS})))
    assert len(task._x) == 4
