import json
from pathlib import Path

import pytest

LINE = json.dumps(
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "a.jsonl").write_text(f"{LINE}\n{{broken\n{LINE}\n")
    return "a.jsonl"


def test_a_file_becomes_a_run_and_what_it_lacks_is_told(agentgym, file) -> None:
    done = agentgym("import", file, "r")
    assert done.code == 0
    assert done.out.startswith("2 episodes of OpenAI messages (`messages` with roles) in r; ")
    for told in ("2 without a reward", "2 without tokens", "1 broken and left out"):
        assert told in done.out
    assert "warning: a.jsonl, line 2: expected JSON" in done.err
    assert "line-3" in agentgym("show", "r").out
    assert "Yes" in agentgym("show", "r", "line-1").out
    assert len(agentgym("export", "r", "--messages").out.splitlines()) == 2


def test_a_long_import_tells_how_far_it_is(agentgym, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("agentgym.cli.progress._EVERY_S", 0.0)
    (tmp_path / "long.jsonl").write_text(f"{LINE}\n" * 250)
    for words in (["import", "long.jsonl", "r"], ["show", "long.jsonl"]):
        done = agentgym(*words)
        said = [line for line in done.err.splitlines() if line.endswith("episodes read")]
        assert said == ["100 episodes read", "200 episodes read"]


def test_json_says_the_same(agentgym, file) -> None:
    assert agentgym("import", file, "r", "--json").json == {
        "run": "r",
        "format": "OpenAI messages",
        "how": "`messages` with roles",
        "episodes": 2,
        "told": {"without an end": 2, "without a reward": 2, "without tokens": 2},
        "broken": 1,
    }


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["a.jsonl", "r", "--strict"], 1, "a.jsonl, line 2: expected JSON"),
        (["gone", "r"], 2, "there is no file 'gone'"),
        (
            ["other", "r"],
            2,
            "hint: known are: inspect, ATIF, verifiers, SWE-agent, mini-swe-agent, OpenAI messages",
        ),
        (["a.jsonl", "there"], 2, "exists already"),
    ],
)
def test_wrong_usage_leaves_no_run(agentgym, file, tmp_path: Path, words, code, error) -> None:
    (tmp_path / "other").write_text("{}")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    done = agentgym("import", *words)
    assert (done.code, done.out) == (code, "")
    assert error in done.err
    assert not (tmp_path / "r").exists()


def test_a_file_is_shown_as_a_run_that_leaves_nothing(
    agentgym, file, tmp_path: Path, monkeypatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    done = agentgym("show", file)
    assert done.code == 0, done.err
    assert done.out.startswith("a.jsonl  finished\n")
    assert "one of them: agentgym show a.jsonl#line-3" in done.out
    assert "warning: a.jsonl, line 2: expected JSON" in done.err
    assert "2 episodes of OpenAI messages (`messages` with roles); " in done.err
    assert "1 broken and left out" in done.err
    assert "Yes" in agentgym("show", file, "line-3").out
    assert agentgym("show", file, "--json").json["run"] == "a.jsonl"
    assert not list(folder.iterdir())
    (tmp_path / "other").write_text("{}")
    for command in (["show", "other"], ["view", "other"]):
        done = agentgym(*command)
        assert done.code == 2
        assert "other is of no format that is known here" in done.err
    assert not list(folder.iterdir())


def test_no_file_commands_the_terminal(agentgym, tmp_path: Path) -> None:
    """C1 and directions, which, unlike escapes, nobody takes out of what is printed to a pipe."""
    bad = "\x9b2J\u202e"
    said = {"source": "agent", "message": [{"type": bad}]}
    ours = said | {"extra": {"agentgym": {"reward_terms": {bad: "x"}}}}
    for name, steps in (("a", [said]), ("b", [said, ours])):
        document = {"schema_version": "ATIF-v1.8", "agent": {}, "steps": steps}
        (tmp_path / name).write_text(json.dumps(document))
    document = {"trajectory_format": f"mini-swe-agent{bad}", "messages": [{"role": "user"}]}
    (tmp_path / "c").write_text(json.dumps(document))
    (tmp_path / "d").write_text(json.dumps({bad: 1}))
    record = {"env": {"id": bad}, "task": {}, "traces": [{"nodes": []}]}
    (tmp_path / "e").write_text(json.dumps(record))
    told = []
    for number, name in enumerate("abcde"):
        for words in (["import", name, f"r{number}"], ["show", name]):
            done = agentgym(*words)
            told.append(done.out + done.err)
            assert not {"\x9b", "\u202e"} & set(told[-1]), words
            assert "x9b2J" in told[-1] or words == ["import", "e", "r4"], words
