import pytest

pytestmark = pytest.mark.slow


def test_engines_are_measured_side_by_side(agentgym) -> None:
    words = ("bench", "engine", "local", "local,max_batch=16", "-c", "batch-32", "--rounds", "1")
    done = agentgym(*words, "--json")
    assert done.code == 0, done.err
    assert [(row["case"], row["engine"]) for row in done.json] == [
        ("batch-32", "local"),
        ("batch-32", "local,max_batch=16"),
    ]
    assert done.json[0]["ratio"] == 1.0
    assert all(row["low"] <= row["tokens_per_second"] <= row["high"] for row in done.json)
    done = agentgym(*words)
    assert done.code == 0
    assert "OF THE FIRST" in done.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lokal"], "unknown engine 'lokal'"),
        (["local,max_bach=3"], "unknown key `engine.max_bach`"),
        (["-c", "batch-33"], "there is no case 'batch-33'"),
        (["-m", "gone"], "'gone' does not exist"),
    ],
)
def test_what_cannot_be_measured_is_told(agentgym, words: list[str], told: str) -> None:
    done = agentgym("bench", "engine", "local", "--rounds", "1", *words)
    assert done.code == 2
    assert told in done.err
