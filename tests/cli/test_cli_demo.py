"""`agentgym demo` writes a run that the other commands read, with nothing but the base packages."""

import pytest

pytestmark = pytest.mark.slow

BLOCK = """
import importlib.abc, sys


class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "tokenizers", "jinja2"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.slow
def test_it_is_written_and_read_without_what_only_training_needs(process) -> None:
    written = process("demo", prefix=BLOCK)
    assert (written.code, written.err) == (0, "")
    commands = [line.split("  ")[1].split()[1:] for line in written.out.splitlines()[1:]]
    assert ["show", "runs/demo"] in commands
    commands.remove(["view", "runs/demo"])
    further = [
        ["rescore", "runs/demo", "--shaping", "outcome"],
        ["compare", "runs/demo", "runs/demo"],
        ["export", "runs/demo", "--messages", "-o", "m.jsonl"],
        ["replay", "runs/demo", "--verify"],
    ]
    for words in commands + further:
        done = process(*words, prefix=BLOCK)
        assert done.code == 0, (words, done.err)
    assert "0 different" in done.out


def test_it_says_where_it_is_and_refuses_to_overwrite(agentgym, tmp_path) -> None:
    found = agentgym("demo", "d", "--json").json
    assert found == {"run": "d", "status": "finished", "steps": 8, "episodes": found["episodes"]}
    assert found["episodes"] > 400
    before = (tmp_path / "d" / "run.json").read_bytes()
    again = agentgym("demo", "d")
    assert again.code == 2
    assert "error: the run directory d exists already" in again.err
    assert (tmp_path / "d" / "run.json").read_bytes() == before


def test_a_flawed_one_is_found_out(agentgym) -> None:
    assert agentgym("demo", "f", "--flawed").code == 0
    done = agentgym("check", "run", "f")
    assert done.code == 1
    assert done.out.count("failed ") >= 3
