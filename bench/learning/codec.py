"""Codecs beside memcpy: what it costs to choose coordinates, encode them, pack them, and merge them.

All times are processor time in units of one memcpy of the float32 vector, both measured in turn in this process; the
least of some repetitions counts, since noise only adds. To merge is to unpack, decode, clip and move towards. The
change is Gaussian noise, the hardest case for zstd.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
from msgspec import msgpack

from gossipfl.codec.codec import codec, decode, encode
from gossipfl.codec.coordinates import Coordinates
from gossipfl.codec.packing import pack
from gossipfl.kernels import Kernel, gather, kernel
from gossipfl.model.replica import Replica
from gossipfl.model.schema import Schema, Tensor, Vector

SIZES = (10**5, 10**7, 10**8)
CODECS = (
    "float32", "bfloat16", "int8", "int4", "int2", "sign",
    "int4+round-robin:5", "int4+fragments:5", "int4+top-k:0.1", "int4+random:0.2",
)  # fmt: skip
KERNELS = ("numpy", "numba")


def main() -> None:
    for size in SIZES:
        rng = np.random.default_rng(0)
        base = rng.standard_normal(size, np.float32)
        x = base + np.float32(0.01) * rng.standard_normal(size, np.float32)
        schema = Schema([Tensor("w", (size,))])
        once = best(partial(np.copyto, np.empty_like(x), x), size)
        print(f"\n{size:,} parameters; memcpy {1e3 * once:.3f} ms = {8 * size / once / 1e9:.1f} GB/s read and written")
        print("                                   memcpys                 bytes of a   vectors allocated")
        print("codec               kernel   choose   encode     pack    merge coordinate     encode   merge")
        for name in CODECS:
            for of in KERNELS:
                print(row(name, of, kernel(of), schema, x, base, once), flush=True)


def row(name: str, of: str, maths: Kernel, schema: Schema, x: Vector, base: Vector, once: float) -> str:
    """One line of the table."""
    made_by, chance = codec(name), random.Random(0)
    change = x - base if made_by.selection.by_change else None

    def choose() -> Coordinates:
        return made_by.selection.choose(schema, change, 0, chance)

    where = choose()
    index = where.index(x.size)

    def quantise() -> memoryview:
        return made_by.quantiser.encode(gather(x, index), gather(base, index), chance, maths)

    delta, raw = encode(made_by.quantiser, where, x, base, chance, maths)
    replica = Replica(schema, x, maths)

    def merge() -> None:
        at, scales, codes = decode(delta, x.size)
        replica.merge(at, base, scales, codes, 0.25, 0.0)

    times = [best(one, x.size) / once for one in (choose, quantise, lambda: pack(raw), merge)]
    peaks = [peak(one) / x.nbytes for one in (quantise, merge)]
    return (
        f"{name:19} {of:6}" + "".join(f"{one:9.1f}" for one in times) + f"{len(msgpack.encode(delta)) / x.size:11.3f}"
        f"{peaks[0]:14.2f}{peaks[1]:8.2f}"
    )


def best(function: Callable[[], object], size: int) -> float:
    """Seconds of this processor for one call: the least of a few."""
    function()  # numba compiles, caches fill
    times = []
    for _ in range(max(3, min(200, 3 * 10**7 // size))):
        begun = time.process_time()
        function()
        times.append(time.process_time() - begun)
    return min(times)


def peak(function: Callable[[], object]) -> float:
    """Bytes that one call had allocated at most at a time, its result included."""
    tracemalloc.start()
    function()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


if __name__ == "__main__":
    main()
