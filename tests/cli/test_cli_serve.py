import socket
from pathlib import Path

import pytest

pytest.importorskip("torch")

from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.tiny import TinyConfig

WITHOUT = """
import importlib.abc, sys


class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("starlette", "uvicorn"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    small = TinyConfig(layers=1, width=16, heads=2, max_context=32)
    load_model(ModelConfig(tiny=small), folder=folder, texts=("a b",), seed=1)
    return str(folder)


def test_serving_is_offered(agentgym) -> None:
    assert "serve" in agentgym("--help").out.split()
    assert "--replicas" in agentgym("serve", "--help").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no model is named"),
        (["nowhere"], "unknown model 'nowhere'"),
        (["."], "is no model: no config.json"),
        (["{model}", "engine.max_batsh=4"], "engine.max_batch"),
        (["{model}", "engine.name=served"], "a server is no engine that can be served"),
        (["{model}", "engine.name=nothing"], "unknown"),
        (["{model}", "limits.hang_s=0"], "limits.hang_s"),
        (["{model}", "--port", "0", "--token-file", "no/where"], "token file"),
        (["{model}", "model.path=other"], "use agentgym serve MODEL"),
        (["{model}", "replicas=2"], "use --replicas"),
        (["{model}", "--replicas", "0"], "replicas"),
        (["{model}", "--host", "no.such.host.invalid"], "no.such.host.invalid"),
    ],
)
def test_what_cannot_be_served_is_a_usage_error(agentgym, model: str, words, said) -> None:
    done = agentgym("serve", *[word.format(model=model) for word in words])
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("error: ") == 1


def test_a_port_in_use_names_a_free_one(agentgym, model: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = agentgym("serve", model, "--port", str(taken.getsockname()[1]))
    assert done.code == 1
    assert "another program listens on port" in done.err
    assert "hint: --port" in done.err


def test_the_status_of_no_server_is_one_error(agentgym, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AGENTGYM_SERVE_TOKEN", "0123456789abcdef")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = agentgym("serve", "--status", url)
    assert done.code == 1
    assert f"{url}/status gave no answer in 1 attempt" in done.err
    assert agentgym("serve", "--status", "nonsense").code == 2
    monkeypatch.delenv("AGENTGYM_SERVE_TOKEN")
    done = agentgym("serve", "--status", url)
    assert done.code == 2
    assert "hint: give --token-file" in done.err


@pytest.mark.slow
def test_a_model_that_no_engine_takes_ends_the_server_with_the_reason(
    process, model: str, tmp_path: Path
) -> None:
    done = process("serve", model, "--port", "0", "model.max_context=4096", "model.device=cpu")
    assert done.code == 2
    assert "model.max_context is 4096, but the model takes at most 32 tokens" in done.err
    assert "hint: set model.max_context to 32 or less" in done.err


def test_without_its_packages_it_says_what_to_install(process, model: str) -> None:
    done = process("serve", model, prefix=WITHOUT)
    assert done.code == 3
    assert "hint: pip install 'agentgym-framework[serve]'" in done.err
