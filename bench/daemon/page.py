"""The page in a browser: how soon it is there, how much it loads, and how smoothly it draws large meshes.

The files come from a real server on loopback. What meshes of many devices would answer is made up here, with merges on
every link all the time; each size is watched from when it is first shown, while the graph finds its shape, and after.
A browser without a GPU draws by its CPUs. Where other work has them, frames come late; what they cost tells that apart.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

import psutil
from playwright.sync_api import Browser, Route

from gossipfl_nodes.demo.page import opened
from tests.nodes.page.browsing import browsing

LOADS = 7
SIZES = (8, 100, 1000)
PEERS = 8
"""Links that each device makes: twice as many on average."""
WATCHED = 6000
"""Milliseconds that frames are counted for."""
LOADED = """() => {
    const files = performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"));
    const own = files.filter(({ name }) => !name.includes("/v1/"));
    return [performance.getEntriesByName("first-contentful-paint")[0].startTime,
            own.reduce((sum, { transferSize }) => sum + transferSize, 0), own.length];
}"""
FRAMES = """(milliseconds) => new Promise((resolve) => {
    const gaps = [];
    const begun = performance.now();
    let last = begun;
    const frame = (now) => {
        gaps.push(now - last);
        last = now;
        if (now - begun < milliseconds) requestAnimationFrame(frame);
        else resolve(gaps.slice(1));
    };
    requestAnimationFrame(frame);
})"""


def main() -> None:
    with browsing() as browser, opened([]) as url:
        loads = [_load(browser, url) for _ in range(LOADS)]
        paints = [paint for paint, _, _ in loads]
        _, size, files = loads[0]
        print(f"first paint  median {statistics.median(paints):.0f} ms, most {max(paints):.0f} ms of {LOADS}")
        print(f"loaded       {size / 1000:.0f} kB, {files} files")
        print("\ndevices           frames/s  95 % within       most  CPU of the browser, a frame")
        for count in SIZES:
            for name, (gaps, cpu) in zip(("at first", "settled"), _drawn(browser, url, count), strict=True):
                gaps.sort()
                rate, late = 1000 * len(gaps) / sum(gaps), gaps[int(0.95 * len(gaps))]
                print(
                    f"{count:5}  {name:8}  {rate:9.1f}  {late:8.0f} ms  {gaps[-1]:6.0f} ms  {cpu / len(gaps):6.1f} ms"
                )


def _load(browser: Browser, url: str) -> tuple[float, int, int]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.locator("#state", has_text="live").wait_for()
    paint, size, files = page.evaluate(LOADED)
    context.close()
    return paint, size, files


def _drawn(browser: Browser, url: str, count: int) -> Iterator[tuple[list[float], float]]:
    """Milliseconds between frames, and of CPU time: from the first answer on; then with the graph in its shape."""
    mesh = _Mesh(count)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.route("**/v1/mesh", mesh.answer)
    page.goto(url)
    page.locator("#links", has_text=f"{count:,} up").wait_for(timeout=60_000)
    for _ in range(2):
        before = _cpu()
        gaps = page.evaluate(FRAMES, WATCHED)
        yield gaps, 1000 * (_cpu() - before)
    context.close()


def _cpu() -> float:
    """Seconds of CPU time of the browser's processes so far."""
    below = psutil.Process().children(recursive=True)
    times = [process.cpu_times() for process in below if process.name().startswith(("chrom", "headless"))]
    return float(sum(time.user + time.system for time in times))


class _Mesh:
    """Devices with random links, which merge as often as somebody looks."""

    def __init__(self, count: int) -> None:
        rng = random.Random(0)
        self._links = [
            [peer for peer in rng.sample(range(count), min(count - 1, PEERS)) if peer != device]
            for device in range(count)
        ]
        self._looks = 0

    def answer(self, route: Route) -> None:
        self._looks += 1
        devices = [
            {"id": _id(device), "name": str(device), "status": self._status(peers), "peers": [*map(self._row, peers)]}
            for device, peers in enumerate(self._links)
        ]
        route.fulfill(json={"time": time.time(), "me": None, "devices": devices})

    def _status(self, peers: list[int]) -> dict[str, Any]:
        progress = 1 - 0.9**self._looks
        return {
            "mesh": "large", "task": "digits", "topology": "k-out:k=3", "state": "learning", "paused": False,
            "metrics": {"accuracy": progress * random.Random(self._looks).uniform(0.9, 1)}, "loss": 1 - progress,
            "peers": len(peers), "merges": 3 * self._looks, "bytes_sent": 9000 * self._looks, "failures": 0,
            "bytes_received": 9000 * self._looks, "longest_gap": 0.5, "uptime": float(self._looks), "partition": False,
            "save_error": "",
        }  # fmt: skip

    def _row(self, peer: int) -> dict[str, Any]:
        return {
            "id": _id(peer), "live": True, "addresses": ["/ip4/192.0.2.7/tcp/9444"], "latency": 0.01, "staleness": 1.0,
            "merges": self._looks, "merged": 0.5, "refused": 0, "strikes": 0, "bytes_sent": 9000, "bytes_received": 1,
        }  # fmt: skip


def _id(device: int) -> str:
    return f"12D3KooW{device:044}"


if __name__ == "__main__":
    main()
