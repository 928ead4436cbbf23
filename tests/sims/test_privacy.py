"""What never leaves a device: personal tensors, rows of data, and labels, searched for in every frame of a mesh."""

from collections.abc import Iterator

import numpy as np
import pytest

from gossipfl.protocol.settings import Settings
from gossipfl.tasks.mlp import MLP
from gossipfl.wire import messages as msg
from gossipfl_sims.engine.network import Link
from tests.gossipfl.builders import in_full, opened
from tests.sims.worlds import SECRET, Guarded, Watched, accuracies, blobs, boot, digit_tasks

RUN = 16
"""Labels in a row that are no chance."""


def all_frames(world: Watched) -> bytes:
    return b"\0".join(map(opened, world.frames))


def test_personal_tensors_never_leave() -> None:
    """Through every kind of message that carries a vector: updates, snapshots, and bases."""
    tasks = [Guarded(task) for task in blobs(6, own_weights=True)]
    world = Watched(list(tasks), Settings(interval=0.5), link=Link(loss=0.05, duplication=0.05), seed=1)
    boot(world)
    world.run(8.0)
    world.crash("n002")
    world.run(10.0)
    world.start("n002")
    world.run(25.0)
    kinds = {type(msg.decode(body)) for body in world.frames}
    assert kinds >= {msg.Hello, msg.Peers, msg.Update, msg.NeedSnapshot, msg.Snapshot, msg.NeedBase, msg.Base}
    sent = all_frames(world)
    for secret in (SECRET.tobytes(), SECRET[:1].tobytes(), SECRET[1:].tobytes(), SECRET.astype(">f4").tobytes()):
        assert secret not in sent
    for secret in (SECRET.astype(np.float64).tobytes(), repr(float(SECRET[0])).encode()):
        assert secret not in sent
    accuracies(world)  # asserts that every node still has its secret


def test_the_search_would_find_a_leak() -> None:
    world = Watched(blobs(2), Settings())
    leak = msg.encode(msg.Base(bytes(16), bytes(16), in_full(np.concatenate([np.zeros(3, np.float32), SECRET]))))
    world.frames[leak] = None
    assert SECRET.tobytes() in all_frames(world)


def encodings_of_rows(task: MLP) -> Iterator[bytes]:
    raw = np.rint(task._x * 16)
    for rows in (
        raw.astype(np.uint8),
        raw.astype("<f4"),
        task._x.astype("<f4"),
        raw.astype("<f8"),
        task._x.astype("<f8"),
    ):
        yield from (row.tobytes() for row in rows)


def encodings_of_labels(task: MLP) -> Iterator[bytes]:
    """Runs of labels; a run of hardly anything but zeros is no sign of anything."""
    for start in range(len(task._y) - RUN):
        run = task._y[start : start + RUN]
        if np.count_nonzero(run) < RUN // 4:
            continue
        yield run.astype("<i8").tobytes()
        if len(set(run)) > 1:
            yield run.astype(np.uint8).tobytes()


def test_no_row_and_no_labels_of_any_node_are_in_any_frame() -> None:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn, extra gossipfl[demo]")
    tasks = digit_tasks(8)
    world = Watched(tasks, Settings(interval=0.5), link=Link(loss=0.1), seed=2)
    boot(world)
    world.run(6.0)
    world.crash("n003")
    world.run(7.0)
    world.start("n003")
    world.run(11.0)
    sent = all_frames(world)
    assert len(sent) > 200_000
    for task in tasks:
        assert isinstance(task, MLP)
        needles = {*encodings_of_rows(task), *encodings_of_labels(task)}
        assert len(needles) > 500
        assert all(needle not in sent for needle in needles)
