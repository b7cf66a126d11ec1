import gzip
import json
import sys
from pathlib import Path

import pytest
from foreign import ATIF

from agentgym.errors import ConfigError, StoreError
from agentgym.formats.as_run import import_run
from agentgym.formats.imported import read_any
from agentgym.store.episodes import read_episodes, read_heads
from agentgym.store.run import Run

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FILES = Path(__file__).parent / "files"
LINE = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant"}]}).encode()


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, bytes, b"\xef\xbb\xbf".__add__])
def test_the_format_is_known_by_the_content_not_by_the_name(tmp_path: Path, pack) -> None:
    path = tmp_path / "x.eval"
    path.write_bytes(pack(LINE + b"\n" + LINE + b"\n"))
    found = read_any(path)
    assert found.format == "OpenAI messages"
    assert len(list(found)) == 2


def test_what_is_told_is_of_the_last_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(LINE + b"\n")
    found = read_any(path)
    assert list(found) == list(found)
    assert found.told == {"without a reward": 1, "without tokens": 1, "without an end": 1}


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(LINE + b"\n" + LINE + b"\n{broken\n")
    episodes = iter(read_any(path))
    assert [next(episodes).id, next(episodes).id] == ["line-1", "line-2"]
    with pytest.raises(StoreError, match="line 3"):
        next(episodes)


def test_a_file_that_was_cut_gives_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    packed = b"".join(zstd.compress(LINE + b"\n") for _ in range(3))
    broken: list[StoreError] = []
    path.write_bytes(packed[:-4])
    found = list(read_any(path, on_broken=broken.append))
    assert (len(found), len(broken)) == (2, 1)
    assert "cannot be read" in str(broken[0])
    with pytest.raises(StoreError, match="cannot be read"):
        list(read_any(path))
    path.write_bytes((LINE + b"\n") * 2 + LINE[:-9])
    assert len(list(read_any(path, on_broken=broken.append))) == 2


@pytest.mark.parametrize(
    ("data", "error", "told"),
    [
        (b"", StoreError, "expected JSON"),
        (b"\n\n", StoreError, "expected JSON"),
        (b"hello", StoreError, "expected JSON; Expecting value at column 1"),
        (b'{\n "a": 1,\n}', StoreError, "at line 3"),
        (b"\xff\xfe{\x00", StoreError, "expected UTF-8, found byte 0xff at 0"),
        (b"3", ConfigError, "its first value is no object but int"),
        (b'{"b": 1, "a": 2}', ConfigError, "its first object has the keys a, b"),
        (b'{"messages": {}}', ConfigError, "of no format"),
        (b'{"schema_version": 3}', ConfigError, "of no format"),
        (b'{"traces": 3, "task": {}}', ConfigError, "of no format"),
        (b"PK\x03\x04rest", StoreError, "a broken archive"),
        (b"\x28\xb5\x2f\xfdrest", StoreError, "cannot be read"),
        (b"\x1f\x8brest", StoreError, "cannot be read"),
    ],
)
def test_other_files_are_refused_and_why(tmp_path: Path, data: bytes, error, told: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    with pytest.raises(error) as raised:
        read_any(path)
    assert told in str(raised.value)
    assert str(path) in str(raised.value)


def test_there_must_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_any(tmp_path)


def test_a_line_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(LINE + b"\n" + LINE[:-1] + b" " * 100 + b"}\n")
    monkeypatch.setattr("agentgym.formats.source.LIMIT", len(LINE) + 1)
    with pytest.raises(StoreError, match=r"line 2 has .* bytes or more"):
        list(read_any(path))


def test_ids_are_short_and_told_apart(tmp_path: Path) -> None:
    about = {"episode": "x" * 1000, "env": "", "task": "", "split": "", "policy": "", "outcome": 1}
    line = json.dumps(json.loads(LINE) | {"metadata": about})
    path = tmp_path / "a"
    path.write_text(f"{line}\n{line}\n")
    first, second = (each.id for each in read_any(path))
    assert len(first) < 150
    assert second == f"{first}-2"


def lines_with_ids(*ids: str) -> str:
    about = {"env": "", "task": "", "split": "", "policy": "", "outcome": 1}
    return "".join(
        json.dumps(json.loads(LINE) | {"metadata": about | {"episode": name}}) + "\n"
        for name in ids
    )


def test_no_id_is_given_twice_whatever_they_are_called(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text(lines_with_ids("a", "a", "a-2", "a", "a-2"))
    ids = [each.id for each in read_any(path)]
    assert ids[:2] == ["a", "a-2"]
    assert len(set(ids)) == 5
    assert import_run(read_any(path), tmp_path / "r") == 5


def test_those_that_were_called_name_the_caller_of_their_own_document(tmp_path: Path) -> None:
    child = ATIF | {"session_id": ATIF["session_id"], "subagent_trajectories": [ATIF]}
    line = json.dumps(ATIF | {"subagent_trajectories": [child, ATIF]})
    path = tmp_path / "a"
    path.write_text(f"{line}\n{line}\n")
    found = [(each.id, each.parent_id) for each in read_any(path)]
    assert found[:4] == [
        ("s-1", None),
        ("s-1.0", "s-1"),
        ("s-1.0.0", "s-1.0"),
        ("s-1.1", "s-1"),
    ]
    assert found[4:] == [
        ("s-1-2", None),
        ("s-1.0-2", "s-1-2"),
        ("s-1.0.0-2", "s-1.0-2"),
        ("s-1.1-2", "s-1-2"),
    ]


@pytest.mark.parametrize("start", [LINE[:-9], b'{"a": nul}', b"\xef\xbb\xbf" + LINE[:-9]])
def test_a_first_line_that_is_broken_is_left_out_like_others(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(start + b"\n" + LINE + b"\n")
    broken: list[StoreError] = []
    assert [each.id for each in read_any(path, on_broken=broken.append)] == ["line-2"]
    assert [f"{path}, line 1" in str(error) for error in broken] == [True]


def test_what_is_printed_over_several_lines_is_no_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"[\n" + LINE + b"\n]")
    assert [each.id for each in read_any(path)] == ["item-1"]
    path.write_bytes(b"{\n" + LINE + b"\n}")
    with pytest.raises(StoreError, match="expected JSON"):
        read_any(path, on_broken=lambda _: None)


def test_a_run_is_made_that_holds_what_was_read(tmp_path: Path) -> None:
    found = read_any(FILES / "verifiers.jsonl")
    assert import_run(found, tmp_path / "r", command=["agentgym", "import"]) == 4
    run = Run.open(tmp_path / "r")
    assert (run.status, run.info["env"], run.info["kind"]) == ("finished", "sums", "import")
    assert run.info["imported"] == {
        "file": str(FILES / "verifiers.jsonl"),
        "format": "verifiers",
        "told": dict(found.told),
    }
    assert list(read_episodes(tmp_path / "r")) == list(found)
    assert [head.outcome for head in read_heads(tmp_path / "r")] == [0.75, 0.25, 0.0, 0.75]
    with pytest.raises(ConfigError, match="exists already"):
        import_run(found, tmp_path / "r")
    assert import_run(found, tmp_path / "r", clean=True) == 4


def test_what_cannot_be_stored_is_left_out_and_a_run_of_nothing_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "a"
    record = json.loads((FILES / "verifiers.jsonl").read_text().splitlines()[0])
    path.write_text(json.dumps(record).replace('"answer": "2"', '"answer": 1e999'))
    with pytest.raises(StoreError, match=r"task.payload.answer is inf"):
        import_run(read_any(path), tmp_path / "r")
    broken: list[StoreError] = []
    with pytest.raises(StoreError, match="has no episode that can be read"):
        import_run(read_any(path, on_broken=broken.append), tmp_path / "r")
    assert len(broken) == 1
    assert not (tmp_path / "r").exists()
