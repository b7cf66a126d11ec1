from agentgym.bench import Case


def test_bench_prints_rows_of_every_side(agentgym) -> None:
    done = agentgym("bench", "env", "agentgym/KeyDoor-v0", "--seconds", "0", "-c", "2", "--json")
    assert done.code == 0
    assert [(row["env"], row["framework"], row["concurrency"]) for row in done.json] == [
        ("agentgym/KeyDoor-v0", "agentgym", 1),
        ("agentgym/KeyDoor-v0", "agentgym.rollout", 2),
    ]
    assert all(row["steps_per_second"] > 0 for row in done.json)


def test_bench_shows_the_share_of_the_framework_itself(agentgym) -> None:
    case = "agentgym/Gymnasium-v0 env=FrozenLake-v1"
    done = agentgym("bench", "env", case, "--seconds", "0", "-c", "1")
    lines = [line.split() for line in done.out.splitlines()[1:]]
    assert [line[2] for line in lines] == ["agentgym", "gymnasium", "agentgym.rollout"]
    assert lines[0][-1].endswith("%")
    assert not lines[1][-1].endswith("%")


def test_bench_refuses_an_environment_without_tasks(agentgym, tmp_path) -> None:
    (tmp_path / "bare.py").write_text(
        "import agentgym as ag\n\n@ag.env('me/Bare-v0')\ndef tasks():\n    return []\n"
    )
    done = agentgym("bench", "env", "bare.py", "--seconds", "0")
    assert done.code == 1
    assert done.err == "error: me/Bare-v0 cannot be measured: 'train' has no task\n"


LOUD = """
import agentgym as ag

@ag.env("me/Loud-v0")
def tasks():
    print("hello")
    yield ag.Task("Say yes.", answer="yes")

@tasks.reward
def correct(ep, task) -> float:
    print("scored")
    return float(ep.final_text == task.answer)
"""


def test_what_an_environment_prints_disturbs_no_json(agentgym, tmp_path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    done = agentgym("bench", "env", "loud.py", "--seconds", "0", "-c", "1", "--json")
    assert len(done.json) == 2
    assert "hello" in done.err
    assert "scored" in done.err


def test_without_a_sandbox_bench_says_what_to_install(agentgym, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = agentgym("bench", "env", "agentgym/Code-v0", "--seconds", "0")
    assert done.code == 3
    assert "hint: apt-get install bubblewrap" in done.err


def test_an_environment_that_fails_costs_no_figure_of_the_others(
    agentgym, tmp_path, monkeypatch
) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    (tmp_path / "bare.py").write_text(LOUD.replace("yield", "return; yield"))
    cases = (Case("loud.py"), Case("bare.py"), Case("loud.py", packages=("no_such.part",)))
    monkeypatch.setattr("agentgym.bench.CASES", cases)
    done = agentgym("bench", "env", "--seconds", "0", "-c", "1", "--json")
    assert done.code == 1
    assert [row["framework"] for row in done.json] == ["agentgym", "agentgym.rollout"]
    assert "left out: bare.py: me/Loud-v0 cannot be measured: 'train' has no task" in done.err
    assert "left out: loud.py: loud.py needs the package no_such.part" in done.err
    monkeypatch.setattr("agentgym.bench.CASES", cases[2:])
    assert agentgym("bench", "env", "--json").code == 0


def test_bench_refuses_an_unknown_environment(agentgym) -> None:
    done = agentgym("bench", "env", "agentgym/KeyDoor-v1")
    assert done.code == 2
    assert "did you mean 'agentgym/KeyDoor-v0'" in done.err
