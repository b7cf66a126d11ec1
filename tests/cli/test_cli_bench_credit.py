import pytest

from agentgym.trainers.credit import CREDITS

pytestmark = pytest.mark.slow

FIELDS = {"estimator", "groups", "size", "steps", "seconds", "peak_mb"}


def test_every_estimator_has_a_row(agentgym) -> None:
    done = agentgym("bench", "credit", "--shape", "2x3x4", "--seconds", "0", "--json")
    assert done.code == 0, done.err
    assert all(set(row) == FIELDS for row in done.json)
    assert [row["estimator"] for row in done.json] == [*CREDITS, "gigpo:similar"]
    assert all(row["seconds"] > 0 and row["peak_mb"] > 0 for row in done.json)
    assert [done.json[0][name] for name in ("groups", "size", "steps")] == [2, 3, 4]
    similar = done.json[-1]
    assert similar["groups"] * similar["size"] * similar["steps"] == 160


def test_the_table_has_the_chosen_estimators_only(agentgym) -> None:
    done = agentgym("bench", "credit", "salt", "--shape", "2x3x4", "--seconds", "0")
    lines = done.out.splitlines()
    assert lines[0].split() == ["ESTIMATOR", "GROUPS", "SIZE", "STEPS", "MS", "PEAK", "MB"]
    assert [line.split()[:4] for line in lines[1:]] == [["salt", "2", "3", "4"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gigpoo"], "there is no estimator 'gigpoo'"),
        (["--shape", "2x3"], "'2x3' is no shape of a batch"),
        (["--shape", "0x3x4"], "'0x3x4' is no shape of a batch"),
    ],
)
def test_bad_words_are_told(agentgym, words: list[str], message: str) -> None:
    done = agentgym("bench", "credit", *words)
    assert done.code == 2
    assert message in done.err
