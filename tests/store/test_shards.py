"""Shards that were cut, broken, raced for, or written to a disk that is full."""

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from agentgym.errors import StoreError
from agentgym.store.episodes import SCHEMA, EpisodeWriter, read_episodes, read_heads
from agentgym.store.frames import encode_header, read_heads as read_frame_heads, read_record
from agentgym.store.trajectory import from_body, to_body


def _write(folder: Path, trajectories) -> Path:
    with EpisodeWriter(folder) as writer:
        for trajectory in trajectories:
            writer.append(trajectory)
    return next((folder / "episodes").iterdir())


def _cut(folder: Path, data: bytes) -> Path:
    shard = folder / "episodes" / "rollout-00001.jsonl.zst"
    shard.parent.mkdir(parents=True, exist_ok=True)
    shard.write_bytes(data)
    return shard


def test_a_shard_cut_at_any_byte_gives_the_whole_records_before_it(tmp_path, make_trajectory):
    written = [make_trajectory(number, turns=1, tokens=2) for number in range(2)]
    shard = _write(tmp_path / "whole", written)
    data = shard.read_bytes()
    stops = [head.stop for head in read_frame_heads(shard, schema=SCHEMA)]
    assert stops[-1] == len(data)
    for cut in range(len(data) + 1):
        _cut(tmp_path / "cut", data[:cut])
        whole = sum(stop <= cut for stop in stops)
        assert list(read_episodes(tmp_path / "cut")) == written[:whole]
        assert [head.id for head in read_heads(tmp_path / "cut")] == [
            each.id for each in written[:whole]
        ]


def test_what_a_cut_leaves_out_is_told(tmp_path, make_trajectory, caplog):
    data = _write(tmp_path / "whole", [make_trajectory(0)]).read_bytes()
    _cut(tmp_path / "cut", data[:-1])
    assert list(read_heads(tmp_path / "cut")) == []
    assert "after the last whole record" in caplog.text


def test_after_a_cut_a_restarted_writer_goes_on_in_another_shard(tmp_path, make_trajectory):
    written = [make_trajectory(number, turns=5, tokens=50) for number in range(20)]
    whole_shard = _write(tmp_path / "whole", written)
    data = whole_shard.read_bytes()
    stops = [head.stop for head in read_frame_heads(whole_shard, schema=SCHEMA)]
    for cut in random.Random(0).sample(range(len(data)), 30):
        folder = tmp_path / f"cut-{cut}"
        shard = _cut(folder, data[:cut])
        whole = sum(stop <= cut for stop in stops)
        with EpisodeWriter(folder) as writer:
            for trajectory in written[whole:]:
                writer.append(trajectory)
        assert shard.read_bytes() == data[:cut]
        assert list(read_episodes(folder)) == written


def test_zeros_after_a_power_cut_end_a_shard(tmp_path, make_trajectory):
    written = [make_trajectory(number) for number in range(3)]
    data = _write(tmp_path / "whole", written).read_bytes()
    _cut(tmp_path / "cut", data + bytes(1000))
    assert list(read_episodes(tmp_path / "cut")) == written
    _cut(tmp_path / "cut", bytes(1000))
    assert list(read_episodes(tmp_path / "cut")) == []


def test_a_flipped_bit_never_gives_a_wrong_episode(tmp_path, make_trajectory):
    written = [make_trajectory(number, turns=1, tokens=2) for number in range(3)]
    shard = _write(tmp_path / "whole", written)
    data = shard.read_bytes()
    heads = list(read_frame_heads(shard, schema=SCHEMA))
    for position in range(heads[1].offset, heads[1].stop):
        broken = bytearray(data)
        broken[position] ^= 1 << position % 8
        _cut(tmp_path / "cut", bytes(broken))
        assert list(read_episodes(tmp_path / "cut")) == written[:1]


def test_a_newer_shard_is_refused_and_unknown_fields_are_ignored(tmp_path, make_trajectory):
    shard = _write(tmp_path, [make_trajectory()])
    data = shard.read_bytes()
    start = next(read_frame_heads(shard, schema=SCHEMA)).offset
    newer_minor = encode_header({"schema": "agentgym.episodes/1.7", "colour": "red"})
    shard.write_bytes(newer_minor + data[start:])
    assert list(read_episodes(tmp_path)) == [make_trajectory()]
    shard.write_bytes(encode_header({"schema": "agentgym.episodes/2"}) + data[start:])
    with pytest.raises(StoreError, match="has the schema") as error:
        list(read_episodes(tmp_path))
    assert error.value.hint == "upgrade agentgym-framework"
    shard.write_bytes(encode_header({"schema": "agentgym.notes/1"}) + data[start:])
    with pytest.raises(StoreError, match=r"not agentgym\.episodes"):
        list(read_episodes(tmp_path))
    shard.write_bytes(b"id,reward\n1,2\n")
    with pytest.raises(StoreError, match="is no shard"):
        list(read_episodes(tmp_path))


def test_fields_of_a_later_minor_version_are_ignored(make_trajectory):
    body, columns = to_body(make_trajectory())
    for part in (body, body["task"], body["steps"][0], body["steps"][0]["timings"]):
        part["colour"] = "red"
    assert from_body(body, columns) == make_trajectory()


def test_shards_roll_at_their_limit_and_stay_in_order(tmp_path, make_trajectory):
    written = [make_trajectory(number) for number in range(12)]
    with EpisodeWriter(tmp_path, roll_bytes=3000) as writer:
        for trajectory in written:
            writer.append(trajectory)
    sizes = [each.stat().st_size for each in (tmp_path / "episodes").iterdir()]
    assert len(sizes) > 2
    assert list(read_episodes(tmp_path)) == written


_CHILD = """
    import importlib.util, resource, sys
    from agentgym.store.episodes import EpisodeWriter
    spec = importlib.util.spec_from_file_location("conftest", sys.argv[2])
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    limit = int(sys.argv[3]) or resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer = EpisodeWriter(sys.argv[1])
    for number in range(100_000):
        writer.append(conftest._trajectory(number, turns=3, tokens=200))
        print(number, flush=True)
"""


def _child(folder: Path, *, limit_bytes: int = 0) -> subprocess.Popen:
    conftest = Path(__file__).with_name("conftest.py")
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(_CHILD),
            str(folder),
            str(conftest),
            str(limit_bytes),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_writer_killed_at_work_loses_nothing_it_had_written(tmp_path, make_trajectory):
    acknowledged = []
    for kill in range(3):
        with _child(tmp_path) as child:
            numbers = [int(child.stdout.readline()) for _ in range(20 + 7 * kill)]
            child.send_signal(signal.SIGKILL)
            numbers += [int(line) for line in child.stdout.read().split()]
        acknowledged += numbers
        members = [each.member for each in read_episodes(tmp_path)]
        # A record may be whole although its writer died before it could say so.
        assert members[-1] - numbers[-1] in (0, 1)
        assert set(acknowledged) <= set(members)
    for trajectory in read_episodes(tmp_path):
        assert trajectory == make_trajectory(trajectory.member, turns=3, tokens=200)
    assert len(list((tmp_path / "episodes").iterdir())) == 3


def test_a_file_size_limit_is_an_error_and_keeps_what_was_written(tmp_path, make_trajectory):
    with _child(tmp_path, limit_bytes=20_000) as child:
        out, err = child.communicate(timeout=60)
    assert "StoreError: " in err
    assert "file size limit" in err
    assert [each.member for each in read_episodes(tmp_path)] == [int(n) for n in out.split()]
    (shard,) = (tmp_path / "episodes").iterdir()
    assert [*read_frame_heads(shard, schema=SCHEMA)][-1].stop == shard.stat().st_size


def test_a_full_disk_is_an_error_and_writing_goes_on_when_there_is_room(
    small_disk, make_trajectory
):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(60_000))
    written = []
    writer = EpisodeWriter(small_disk)

    def fill() -> None:
        for number in range(1000):
            writer.append(make_trajectory(number, turns=3, tokens=200))
            written.append(number)

    with pytest.raises(StoreError, match=r"disk full: .* bytes did not fit into") as error:
        fill()
    assert "nothing recorded earlier is lost" in error.value.hint
    assert written
    assert [each.member for each in read_episodes(small_disk)] == written
    with pytest.raises(StoreError, match="disk full"):
        writer.append(make_trajectory(0, turns=30, tokens=2000))
    ballast.unlink()
    writer.append(make_trajectory(1000))
    writer.close()
    assert [each.member for each in read_episodes(small_disk)] == [*written, 1000]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, make_trajectory):
    (tmp_path / "episodes").write_text("a file")
    with EpisodeWriter(tmp_path) as writer, pytest.raises(StoreError, match="cannot write"):
        writer.append(make_trajectory())


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden"])
def test_a_writer_cannot_have_a_name_that_is_no_file_name(tmp_path, name):
    with pytest.raises(StoreError, match="cannot be called"):
        EpisodeWriter(tmp_path, writer=name)


@pytest.mark.parametrize("pid", [None, 0, 7])
def test_a_header_says_which_process_wrote(tmp_path, make_trajectory, pid):
    with EpisodeWriter(tmp_path, pid=pid) as writer:
        writer.append(make_trajectory())
    (head,) = read_heads(tmp_path)
    assert head.frame.header["pid"] == (os.getpid() if pid is None else pid)


def test_a_reader_goes_on_where_it_stopped(tmp_path, make_trajectory):
    shard = _write(tmp_path, [make_trajectory(number) for number in range(3)])
    whole = list(read_frame_heads(shard, schema=SCHEMA))
    for number, head in enumerate(whole):
        assert list(read_frame_heads(shard, schema=SCHEMA, start=head.offset)) == whole[number:]
    assert list(read_frame_heads(shard, schema=SCHEMA, start=whole[-1].stop)) == []


def test_of_a_record_only_the_columns_that_are_asked_for_are_decoded(tmp_path, make_trajectory):
    (head,) = read_frame_heads(_write(tmp_path, [make_trajectory()]), schema=SCHEMA)
    every = read_record(head)
    some = read_record(head, only=("logprobs", "no such"))
    assert list(some.columns) == ["logprobs"]
    assert some.columns["logprobs"].tobytes() == every.columns["logprobs"].tobytes()
    assert read_record(head, only=()).columns == {}
    assert some.body == every.body
    bare = read_record(head, only=("sampled",), with_body=False)
    assert bare.body == {}
    assert bare.columns["sampled"].tobytes() == every.columns["sampled"].tobytes()
