"""What listeners hear: every run once, then what changed, until the server stops."""

import asyncio
import json
import shutil

from agentgym.viewer.tail import LISTENERS, Tail


async def test_a_listener_hears_each_run_once_and_then_what_changed(
    trained, tmp_path, open_runs
) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "episodes").mkdir(parents=True)
    runs = open_runs(tmp_path / "a", tmp_path / "b")
    tail = Tail(runs)
    heard = tail.listen()
    first = [json.loads((await anext(heard)).removeprefix(b"data: ")) for _ in range(2)]
    assert [each["run"] for each in first] == ["a", "b"]
    (shard,) = (trained / "episodes").iterdir()
    shutil.copy(shard, tmp_path / "b" / "episodes")
    runs.read_all()
    changed = json.loads((await asyncio.wait_for(anext(heard), 10)).removeprefix(b"data: "))
    assert (changed["run"], changed["episodes"]) == ("b", 39)
    (tmp_path / "b" / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    runs.read_all()
    changed = json.loads((await asyncio.wait_for(anext(heard), 10)).removeprefix(b"data: "))
    assert (changed["run"], changed["scalars"]) == ("b", 1)
    await heard.aclose()


async def test_listeners_end_with_the_server_and_are_not_too_many(open_runs, trained) -> None:
    tail = Tail(open_runs(trained))
    heard = [tail.listen() for _ in range(LISTENERS)]
    for each in heard:
        await anext(each)
    assert tail.is_full
    tail.is_stopping = lambda: True
    for each in heard:
        assert [event async for event in each] == []
    assert not tail.is_full
