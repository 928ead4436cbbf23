"""A city that nobody lives in: speeds with a daily rush hour, common shocks, and noise; as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

A_DAY = 288


def speeds(rows: int, sensors: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Shape (rows, sensors), in mph: free flow, and congestion that comes about every hour and dissolves again."""
    rng = np.random.default_rng(seed)
    free = 60 + 8 * rng.random(sensors)
    jam = np.zeros(sensors)
    found = np.empty((rows, sensors))
    for row in range(rows):
        rush = 1.5 + np.cos(2 * np.pi * (row / A_DAY - 8 / 24))
        jam = 0.85 * jam + 12 * rush * (rng.random(sensors) < 0.04)
        found[row] = free - np.minimum(jam, 45) + 1.5 * rng.standard_normal(sensors)
    return found.astype(np.float32)


def write(path: Path, values: npt.NDArray[np.float32], *, times: bool = False, start: int = 0) -> Path:
    """A CSV table of `values` at `path`; sensors are called 100, 101, …"""
    head = [f"{100 + k}" for k in range(values.shape[1])]
    lines = [",".join(["time", *head] if times else head)]
    path.write_text("\n".join([*lines, *rows(values, times=times, start=start)]) + "\n")
    return path


def rows(values: npt.NDArray[np.float32], *, times: bool = False, start: int = 0) -> list[str]:
    """Lines of a table; what is NaN is empty."""
    found = []
    for number, row in enumerate(values, start):
        cells = ["" if np.isnan(value) else f"{value:.4f}" for value in row]
        minutes = 5 * number
        when = f"2026-03-{1 + minutes // 1440:02} {minutes // 60 % 24:02}:{minutes % 60:02}"
        found.append(",".join([when, *cells] if times else cells))
    return found
