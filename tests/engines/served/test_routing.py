"""Sessions, holds and GPUs: the plain values behind the front."""

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from agentgym.engines.served import holds as holds_module, sessions as sessions_module
from agentgym.engines.served.devices import share_out, visible_gpus
from agentgym.engines.served.holds import Holds, Mode
from agentgym.engines.served.sessions import Sessions
from agentgym.errors import ConfigError


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: object) -> None:
        self.now = 1000.0
        for module in modules:
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["place", "forget", "drop"]))))
def test_a_session_stays_until_it_is_forgotten_and_counts_agree(
    moves: list[tuple[int, str]],
) -> None:
    sessions, up = Sessions(), [0, 1, 2]
    places: dict[str, int] = {}
    for number, move in moves:
        name = f"s{number}"
        if move == "place":
            fewest = min(Counter({each: 0 for each in up} | Counter(places.values())).values())
            found = sessions.place(name, up)
            if name in places:
                assert found == places[name]
            else:
                assert sessions.count(found) == fewest + 1
            places[name] = found
        elif move == "forget":
            assert sessions.forget(name) == places.pop(name, None)
        else:
            sessions.drop(number % 3)
            places = {key: at for key, at in places.items() if at != number % 3}
        assert [sessions.count(each) for each in up] == [
            sum(at == each for at in places.values()) for each in up
        ]


def test_a_session_moves_where_its_replica_is_not_up_and_then_stays_there() -> None:
    sessions = Sessions()
    first = sessions.place("a", [0, 1])
    other = 1 - first
    assert sessions.place("a", [other]) == other
    assert sessions.place("a", [0, 1]) == other
    assert (sessions.count(first), sessions.count(other)) == (0, 1)


def test_idle_sessions_are_forgotten_and_so_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, sessions_module)
    monkeypatch.setattr(sessions_module, "_MOST", 3)
    sessions = Sessions()
    for name in "abcde":
        sessions.place(name, [0])
    sessions.place("a", [0])
    assert [name for _, name in sessions.outdated()] == ["b", "c"]
    clock.now += 4000
    sessions.place("e", [0])
    assert [name for _, name in sessions.outdated()] == ["d", "a"]
    assert sessions.count(0) == 1


def test_the_strongest_hold_counts_and_ends_with_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, holds_module)
    holds = Holds()
    holds.hold("x", Mode.PAUSED, 30)
    holds.hold("y", Mode.ASLEEP, 10)
    assert holds.mode is Mode.ASLEEP
    clock.now += 11
    assert holds.mode is Mode.PAUSED
    holds.release("y", Mode.PAUSED)  # of somebody else
    holds.hold("x", Mode.PAUSED, 30)
    clock.now += 29
    assert holds.mode is Mode.PAUSED
    holds.release("x", Mode.PAUSED)
    assert holds.mode is Mode.RUNNING


def test_gpus_are_shared_out_without_overlap_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-ab,5")
    assert visible_gpus() == ["3", "GPU-ab", "5"]
    shares = share_out(visible_gpus(), replicas=3, each=1)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in shares] == ["3", "GPU-ab", "5"]
    with pytest.raises(ConfigError, match="2 replicas with 2 GPUs each need 4, and there are 3"):
        share_out(visible_gpus(), replicas=2, each=2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert share_out(visible_gpus(), replicas=2, each=4) == [{}, {}]
