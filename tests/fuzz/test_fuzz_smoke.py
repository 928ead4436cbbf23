"""The first 20,000 frames of the fuzzer, in every test run; `make fuzz` throws a million."""

import pytest

from tests.fuzz.fuzz_frames import Fuzzer


@pytest.mark.parametrize("seed", [0, 1])
def test_ten_thousand_frames_do_no_harm(seed: int) -> None:
    fuzzer = Fuzzer(seed)
    assert fuzzer.run(10_000), f"{fuzzer.violations} at seed {seed}, frame {fuzzer.thrown}"
    assert fuzzer.outcomes["accepted: Merged"] > 300
    assert fuzzer.outcomes["accepted: Joined"] > 0
    assert sum(count for outcome, count in fuzzer.outcomes.items() if outcome.startswith("refused: ")) > 3000


def test_the_same_seed_throws_the_same_frames() -> None:
    one, other = Fuzzer(3, keep_going=True), Fuzzer(3, keep_going=True)
    one.run(500)
    other.run(500)
    assert one.outcomes == other.outcomes
    assert one.victim.peer.replica.x.tobytes() == other.victim.peer.replica.x.tobytes()
