import pytest

KEYS = ["workload", "mode", "tokens_per_second", "ratio_to_raw", "steps_per_second"]


@pytest.mark.slow
def test_rollouts_are_measured_beside_the_engine(agentgym) -> None:
    words = ("bench", "rollout", "-e", "local", "--streams", "4", "--rounds", "1")
    done = agentgym(*words, "--seconds", "0.4", "-w", "exponential", "--mode", "async")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[:2] for line in lines[1:]] == [["exponential", "raw"], ["exponential", "async"]]
    assert lines[1][3] == "1.000"
    assert 0 < float(lines[2][3]) < 1.5
    assert "exponential async:" in done.err


def test_overhead_needs_no_engine(agentgym) -> None:
    done = agentgym("bench", "rollout", "-w", "overhead", "--seconds", "0.1", "--json")
    assert done.code == 0, done.err
    assert [(row["workload"], row["mode"]) for row in done.json] == [
        ("overhead", "raw"),
        ("overhead", "scheduler"),
    ]
    for row in done.json:
        assert list(row) == KEYS
        assert row["tokens_per_second"] is None
        assert row["steps_per_second"] > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-w", "exponentail"], "there is no workload 'exponentail'"),
        (["--mode", "lock"], "there is no mode 'lock'"),
        (["-e", "lokal"], "unknown engine 'lokal'"),
        (["-e", "local,max_bach=3"], "unknown key `engine.max_bach`"),
        (["-e", "local", "-m", "gone"], "'gone' does not exist"),
        (["--streams", "0"], "--streams"),
        (["--seconds", "0"], "--seconds"),
    ],
)
def test_what_cannot_be_measured_is_told(agentgym, words: list[str], told: str) -> None:
    done = agentgym("bench", "rollout", *words)
    assert done.code == 2
    assert told in done.err
