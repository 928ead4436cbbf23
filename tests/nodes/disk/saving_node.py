"""A node that is killed again and again: forks lives that save without a pause, each from a process that is ready.

`python saving_node.py HOME` reads a line for each life, the time of day that its clock shows, and answers with its
process id. A life writes what it does into HOME/diary, so that nothing of that is lost by kill -9:

    back INCARNATION NUMBER CONTENT     what it found on the disk; zeros if nothing
    life INCARNATION ID                 who it is
    published INCARNATION SEQ
    saving NUMBER CONTENT               from here on that may be on the disk
    saved NUMBER CONTENT                from here on that or a later one must be
"""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path

from gossipfl.model.schema import Schema
from gossipfl.protocol import events as ev
from gossipfl.protocol.saved import Saved
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.disk.store import Store
from gossipfl_nodes.network import identity
from tests.gossipfl.builders import a_peer, content, flat, meet, noise, only, trained

SIZE = 2410
"""Parameters, as of the digits."""


def live(home: Home, now: int) -> None:
    """Learn, publish and save until killed."""
    schema: Schema = flat(SIZE)
    diary = os.open(home.path / "diary", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*words: object) -> None:
        os.write(diary, (" ".join(map(str, words)) + "\n").encode())

    with home.lock():
        store = Store(home.state, "mesh", "task", schema)
        found = store.load()
        note("back", *described(found))
        incarnation = home.next_incarnation(now, store.incarnation)
        note("life", incarnation, identity.id_of(home.key))
        peer = a_peer(noise(SIZE), schema=schema, incarnation=incarnation, saved=found)
        peer.handle(ev.Started(), 0.0)
        meet(peer, "a", "b", "c", age=peer.replica.age)
        turn = 0.0
        while True:
            turn += 1.0
            for one in only(ev.Published, trained(peer, noise(SIZE, int(turn), 0.01), now=turn)):
                note("published", incarnation, one.seq)
            peer.handle(ev.TimerFired("publish"), turn + 0.5)
            saved = peer.save()
            note("saving", *described(saved))
            store.write(store.encode(saved))
            note("saved", *described(saved))


def described(saved: Saved | None) -> tuple[int, int, int]:
    """Incarnation, number, and what stands for the rest."""
    if saved is None:
        return 0, 0, 0
    return saved.notes.incarnation, saved.notes.number, zlib.crc32(repr(content(saved)).encode())


def main(home: Home) -> None:
    """Fork a life for each line."""
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.close(sys.stdin.fileno())
            live(home, int(line))
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main(Home(Path(sys.argv[1])))
