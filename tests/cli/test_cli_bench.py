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


def test_bench_refuses_an_unknown_environment(agentgym) -> None:
    done = agentgym("bench", "env", "agentgym/KeyDoor-v1")
    assert done.code == 2
    assert "did you mean 'agentgym/KeyDoor-v0'" in done.err
