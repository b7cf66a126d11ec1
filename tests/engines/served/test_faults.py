"""Real processes killed, stopped and interrupted: every episode goes on, or there is one error."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch
from served_engine import START_S, Serving, is_alive, kill, serving, wait_until

from agentgym.engine import Engine, Loaded, SamplingConfig
from agentgym.engines.local import LocalEngineConfig
from agentgym.engines.served.client import ServedEngine
from agentgym.types import Completion

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("served")]

SAMPLED = SamplingConfig(temperature=1, max_tokens=8)
TURNS = 4


async def talk(engine: Engine, session: str, *, first: int = 0) -> list[Completion]:
    """Play an episode: a stream of tokens that grows turn by turn."""
    ids, found = [3, 4, 5 + first], []
    for turn in range(TURNS):
        found.append(await engine.generate(ids, SAMPLED, seed=turn, session=session))
        ids += [*found[-1].token_ids, 30 + turn]
    return found


@pytest.fixture
async def engine(server: Serving, loaded: Loaded) -> AsyncIterator[ServedEngine]:
    server.wait_until_up()
    engine = server.engine(loaded)
    await engine.start()
    yield engine
    await engine.close()


def weights_of(loaded: Loaded, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {
        name: each + torch.randn_like(each) / 9 for name, each in loaded.model.named_parameters()
    }


async def expected_of(loaded: Loaded, weights: dict[str, torch.Tensor], *, version: int) -> Engine:
    local = LocalEngineConfig().build(loaded, deterministic=True)
    await local.load_weights(weights, version=version)
    return local


async def test_an_episode_goes_on_where_its_replica_is_killed_and_samples_the_same(
    engine: ServedEngine, server: Serving, loaded: Loaded
) -> None:
    weights = weights_of(loaded, 1)
    await engine.load_weights(weights, version=1)
    local = await expected_of(loaded, weights, version=1)
    expected = await talk(local, "e")
    before = server.status()["restarts"]

    busy = asyncio.create_task(talk(engine, "undisturbed"))
    found = [await engine.generate([3, 4, 5], SAMPLED, seed=0, session="e")]
    assert found == expected[:1]
    sessions = [each["sessions"] for each in server.status()["replicas"]]
    await busy
    victims = server.pids()
    for pid in victims:  # stopped, so that the turn is under way when it is killed
        kill(pid, signal.SIGSTOP)
    going = asyncio.create_task(talk(engine, "e"))
    await asyncio.sleep(0.5)
    assert not going.done()
    for pid in victims:
        kill(pid)
    assert await asyncio.wait_for(going, 60) == expected
    assert sum(sessions) >= 2
    assert engine.scalars()["retries"] > 0

    status = server.wait_until_up()
    assert status["restarts"] == before + 2
    assert not set(server.pids()) & set(victims)
    # Both new processes hold the weights of the last sync, though both began with the model's.
    for number in range(4):
        again = await engine.generate([3, 4, 5], SAMPLED, seed=0, session=f"after-{number}")
        assert again == expected[0]
    assert await engine.logprobs([3, 4, 5, 6]) == await local.logprobs([3, 4, 5, 6])
    await local.close()


async def test_weights_reach_all_where_a_replica_dies_while_it_loads_them(
    engine: ServedEngine, server: Serving, loaded: Loaded
) -> None:
    weights = weights_of(loaded, 2)
    local = await expected_of(loaded, weights, version=2)
    victim = server.pids()[0]
    kill(victim, signal.SIGSTOP)
    loading = asyncio.create_task(engine.load_weights(weights, version=2))
    await asyncio.sleep(0.3)
    assert not loading.done()
    kill(victim)
    await asyncio.wait_for(loading, 60)
    status = server.status()
    assert [each["state"] for each in status["replicas"]] == ["up", "up"]
    expected = await local.generate([3, 4, 5], SAMPLED, seed=0)
    for number in range(4):
        found = await engine.generate([3, 4, 5], SAMPLED, seed=0, session=f"load-{number}")
        assert found == expected
    await local.close()


async def test_a_replica_that_hangs_is_replaced(engine: ServedEngine, server: Serving) -> None:
    before = server.status()["restarts"]
    victim = server.pids()[1]
    kill(victim, signal.SIGSTOP)
    found = await asyncio.wait_for(
        asyncio.gather(*[talk(engine, f"hang-{n}", first=n) for n in range(4)]), 60
    )
    assert all(len(each) == TURNS for each in found)
    server.wait_until_up()
    assert server.status()["restarts"] == before + 1
    assert "did not tell its state within 2 s" in server.status()["replicas"][1]["why"]
    assert not is_alive(victim)


async def test_ctrl_c_under_load_ends_everything_and_a_second_one_at_once(
    folder: Path, loaded: Loaded
) -> None:
    with serving(folder, "limits.probe_s=60") as server:
        engine = server.engine(loaded, patience_s=0)
        await engine.start()
        (pid,) = server.pids()
        kill(pid, signal.SIGSTOP)  # so that it does not end in good order
        asked = [asyncio.create_task(talk(engine, f"s{n}")) for n in range(8)]
        await asyncio.to_thread(wait_until, lambda: server.status()["in_flight"] == 8)
        server.process.send_signal(signal.SIGINT)
        await asyncio.sleep(2)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(server.process.wait, 2) == 130
        assert not is_alive(pid)
        failed = await asyncio.gather(*asked, return_exceptions=True)
        assert all("gave no answer in 1 attempt" in str(each) for each in failed)
        await engine.close()


MOODY = """
import asyncio, os, sys
from pathlib import Path
from agentgym.engine import Engine, EngineConfig
from agentgym.errors import EngineError
from agentgym.types import Completion


class MoodyConfig(EngineConfig):
    dies: str

    def build(self, loaded, *, deterministic=False):
        return Moody(Path(self.dies), loaded.max_context)


class Moody(Engine):
    def __init__(self, dies, max_context):
        self.dies, self.max_context = dies, max_context

    async def start(self):
        if self.dies.exists():
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(9)

    async def generate(self, token_ids, sampling, *, seed, stop=(), session=None):
        if seed == 13:
            await asyncio.sleep(3600)
        return Completion(
            token_ids=(seed,), logprobs=(-1.0,), finish_reason="length",
            versions=((0, self.version),),
        )

    async def load_weights(self, source, *, version):
        self.version = version
"""


async def test_an_engine_of_a_user_that_hangs_is_replaced_and_one_that_only_dies_is_given_up(
    folder: Path, loaded: Loaded, tmp_path: Path
) -> None:
    (tmp_path / "moody.py").write_text(MOODY)
    words = [f"engine.name={tmp_path / 'moody.py'}", f"engine.dies={tmp_path / 'dies'}"]
    limits = ["limits.hang_s=0.5", "limits.probe_every_s=0.1", "limits.failures=3"]
    one = SamplingConfig(max_tokens=1)
    with serving(folder, *words, *limits) as server:
        engine = server.engine(loaded)
        await engine.start()
        await engine.load_weights(None, version=3)
        asked = asyncio.create_task(engine.generate([1], one, seed=13))
        await asyncio.to_thread(wait_until, lambda: server.status()["restarts"] == 1)
        asked.cancel()
        found = await engine.generate([1], one, seed=7)
        assert (found.token_ids, found.versions) == ((7,), ((0, 3),))
        assert "it hangs: no request came to an end in " in server.status()["replicas"][0]["why"]
        (tmp_path / "dies").touch()
        kill(server.pids()[0])
        assert await asyncio.to_thread(server.process.wait, START_S) == 1
        assert server.process.stderr is not None
        told = server.process.stderr.read().decode()
        assert "error: every replica failed 3 times in a row" in told
        assert "the engine ended with code 9; its log:" in told
        assert "out of luck" in told
        await engine.close()


STOPPED = """
import asyncio, sys
from pathlib import Path
from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.served.settings import ServedEngineConfig
url, token_file, folder = sys.argv[1:]
async def main():
    loaded = load_model(ModelConfig(path=folder, device="cpu"))
    engine = ServedEngineConfig(url=url, token_file=token_file).build(loaded)
    await engine.start()
    version = 100
    while True:
        version += 1
        loading = engine.load_weights(loaded.model.state_dict(), version=version)
        print(version, flush=True)
        await loading
asyncio.run(main())
"""


def trainer_of(server: Serving, folder: Path) -> "subprocess.Popen[bytes]":
    words = [server.url, str(server.token_file), str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", STOPPED, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


async def test_ctrl_c_in_a_sync_leaves_the_server_with_weights_before_or_after_it(
    engine: ServedEngine, server: Serving, loaded: Loaded, folder: Path
) -> None:
    trainer = trainer_of(server, folder)
    assert trainer.stdout is not None
    with trainer.stdout as lines:
        for _ in range(5):
            last = int(lines.readline())
        trainer.send_signal(signal.SIGINT)
        later = [int(line) for line in lines.readlines()]
    trainer.wait(10)
    found = await asyncio.wait_for(engine.generate([3, 4, 5], SAMPLED, seed=0), 20)
    assert last - 1 <= found.versions[-1][1] <= max([last, *later])
    status = server.status()
    assert status["mode"] == "running"
    assert status["version"] == found.versions[-1][1]
