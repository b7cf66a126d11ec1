"""vLLM killed, hung, cancelled and misused, for real."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_conformance import LONG, SAMPLED, Reference, Subject, altered, make_model, until
from vllm_engines import CONFIG, MARKS, loaded

from agentgym.engines.vllm import inprocess
from agentgym.errors import ConfigError, EngineError

pytestmark = [*MARKS, pytest.mark.xdist_group("one vLLM")]


def processes(engine: Any) -> list[psutil.Process]:
    core = psutil.Process(engine._core.pid)
    return [core, *core.children(recursive=True)]


def ask_many(subject: Subject, number: int = 8) -> list[asyncio.Task[Any]]:
    return [
        asyncio.create_task(subject.engine.generate([5 + s], LONG, seed=s)) for s in range(number)
    ]


async def test_ctrl_c_at_any_moment_of_a_sync_leaves_old_or_new_weights(subject: Subject) -> None:
    chance = random.Random(0)
    known = {0: Reference(subject.model, subject.model.state_dict())}
    for version in range(1, 13):
        weights = altered(subject.model, seed=version)
        known[version] = Reference(subject.model, weights)
        under_way = ask_many(subject, 3)
        await asyncio.sleep(0.02)
        sync = asyncio.create_task(subject.engine.load_weights(weights, version=version))
        for _ in range(chance.choice([1, 1, 2])):
            await asyncio.sleep(chance.random() * 0.08)
            sync.cancel()
        await asyncio.wait({sync})
        completion = await subject.engine.generate([5], SAMPLED, seed=version)
        (first, found) = completion.versions[-1]
        known[found].check([5], completion, first=first)
        for seed, task in enumerate(under_way):
            completion = await task
            (first, found) = completion.versions[-1]
            known[found].check([5 + seed], completion, first=first)


async def test_an_abandoned_request_is_aborted_in_vllm(
    subject: Subject, session_engine: Any
) -> None:
    llm = session_engine._core.llm
    await until(lambda: session_engine._probe is not None)
    await until(lambda: llm.get_num_unfinished_requests() == 0)
    await subject.engine.pause()  # so that it cannot end by itself
    task = asyncio.create_task(subject.engine.generate([5], LONG, seed=0))
    await until(lambda: llm.get_num_unfinished_requests() == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: llm.get_num_unfinished_requests() == 0)
    await subject.engine.resume()


async def test_a_temperature_that_vllm_would_raise_is_refused(subject: Subject) -> None:
    low = SAMPLED.model_copy(update={"temperature": 0.005})
    with pytest.raises(EngineError, match="temperature"):
        await subject.engine.generate([5], low, seed=0)


async def test_killed_in_the_middle_of_a_turn_it_comes_back_with_its_weights(
    subject: Subject, session_engine: Any
) -> None:
    new = await subject.use(altered(subject.model, seed=1), version=1)
    await until(lambda: session_engine._probe is not None)
    before = [await task for task in ask_many(subject)]
    under_way = ask_many(subject)
    await asyncio.sleep(0.05)
    old = processes(session_engine)
    os.kill(old[-1].pid, signal.SIGKILL)  # a worker
    after = await asyncio.gather(*under_way)
    assert session_engine.restarts == 1
    assert [each.token_ids for each in after] == [each.token_ids for each in before]
    for seed, completion in enumerate(after):
        assert completion.versions == ((0, 1),)
        new.check([5 + seed], completion)
    await until(lambda: not any(each.is_running() for each in old))


async def test_hung_and_out_of_restarts_every_call_fails_until_weights_come(
    subject: Subject, session_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inprocess, "_HEARTBEAT_S", 0.2)
    monkeypatch.setattr(inprocess, "_HUNG_S", 1.0)
    none = CONFIG.model_copy(update={"max_restarts": 0})
    monkeypatch.setattr(session_engine, "_config", none)
    await asyncio.sleep(inprocess._HEARTBEAT_S)
    for each in processes(session_engine):
        each.suspend()
    for result in await asyncio.gather(*ask_many(subject), return_exceptions=True):
        assert isinstance(result, EngineError)
        assert "vLLM died 1 times in a row" in str(result)
    with pytest.raises(EngineError, match="in a row"):
        await subject.engine.logprobs([5, 6])
    monkeypatch.undo()
    new = await subject.use(altered(subject.model, seed=2), version=2)
    new.check([5], await subject.engine.generate([5], SAMPLED, seed=0))


async def test_a_folder_that_vllm_cannot_use_is_told_before_anything_starts(
    folder: Path, model: Any, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, told in [
        ({"architectures": ["NobodysModel"], "model_type": "nobody"}, "nobody"),
        ({"hidden_size": 32, "head_dim": 16}, "multiples of 32"),
    ]:
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        engine = CONFIG.build(loaded(tmp_path))
        with pytest.raises((ConfigError, EngineError), match=told):
            await engine.start()
        await engine.close()


async def test_what_stops_a_start_is_told_with_its_cause(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 128}))
    engine = CONFIG.build(loaded(tmp_path))
    with pytest.raises(
        EngineError, match=r"vLLM did not start: (?!.*initialization failed)"
    ) as told:
        await engine.start()
    log = str(told.value.hint).rpartition(" ")[2]
    assert await asyncio.to_thread(os.path.exists, log)
    await engine.close()
    assert not [each for each in psutil.Process().children() if "Engine" in each.name()][1:]


async def test_closing_in_the_middle_of_everything_fails_those_who_wait(
    subject: Subject, session_engine: Any
) -> None:
    """Last of the tests with this engine: it is closed."""
    answers = ask_many(subject, 4)
    sync = asyncio.create_task(
        subject.engine.load_weights(altered(subject.model, seed=1), version=1)
    )
    await asyncio.sleep(0.03)
    old = processes(session_engine)
    await subject.engine.close()
    for result in await asyncio.gather(*answers, return_exceptions=True):
        assert isinstance(result, EngineError), result
    (result,) = await asyncio.gather(sync, return_exceptions=True)
    assert result is None or isinstance(result, EngineError), result
    with pytest.raises(EngineError, match="closed"):
        await subject.engine.generate([5], SAMPLED, seed=0)
    await subject.engine.close()
    await until(lambda: not any(each.is_running() for each in old))


async def test_a_start_that_takes_too_long_is_given_up(folder: Path, model: Any) -> None:
    engine = CONFIG.model_copy(update={"start_timeout_s": 1.5}).build(loaded(folder))
    with pytest.raises(EngineError, match=r"not ready after 1\.5 s"):
        await engine.start()
    await engine.close()


async def test_sleep_is_refused_on_a_cpu(folder: Path, model: Any) -> None:
    engine = CONFIG.model_copy(update={"sleep": True}).build(loaded(folder))
    with pytest.raises(ConfigError, match="cannot sleep"):
        await engine.start()
    await engine.close()


_OWNER = """
import asyncio, json, sys
from pathlib import Path
from agentgym.engine import Loaded
from agentgym.engines.vllm.settings import VllmEngineConfig

async def main(folder, weights):
    from safetensors.torch import load_file
    kept = str(folder.parent / "kept")
    config = VllmEngineConfig(kv_cache_gib=1, max_batch=4, weights_dir=kept, tensor_parallel=2)
    engine = config.build(Loaded(None, None, folder, 128))
    await engine.start()
    await engine.load_weights(load_file(weights), version=3)
    found = await engine.logprobs([5, 6, 7, 8])
    print(json.dumps([engine._core.pid, found]), flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


async def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path) -> None:
    """Its output has nothing of vLLM; a head of its own (untied) and norms of q and k sync too."""
    from safetensors.torch import save_file

    model = make_model(tmp_path / "model", "qwen3", tied=False)
    weights = altered(model, seed=3)
    save_file(weights, tmp_path / "new.safetensors")
    script = tmp_path / "owner.py"
    script.write_text(_OWNER)
    owner = subprocess.Popen(  # noqa: ASYNC220  the pipe is read on a thread
        [sys.executable, str(script), str(tmp_path / "model"), str(tmp_path / "new.safetensors")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert owner.stdout is not None
    with owner:
        try:
            pid, found = json.loads(await asyncio.to_thread(owner.stdout.readline))
            expected = Reference(model, weights).logprobs([5, 6, 7, 8])
            assert max(abs(a - float(b)) for a, b in zip(found, expected, strict=True)) < 1e-3
            core = psutil.Process(pid)
            family = [core, *core.children(recursive=True)]
            assert os.getpgid(pid) == pid
            mapped = [each.path for each in core.memory_maps()]
            shared = [path for path in mapped if path.startswith("/dev/shm/psm_")]
            assert shared
        finally:
            owner.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not any(map(os.path.exists, shared))
    from agentgym.engines.vllm.folder import sweep

    assert list((tmp_path / "kept").iterdir())
    sweep(tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())
