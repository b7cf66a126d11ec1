"""The engine's frames, taken apart as they come."""

import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from agentgym.sandboxes.docker.attach import AttachedChannel


@pytest.fixture
def ends() -> Iterator[tuple[AttachedChannel, socket.socket]]:
    ours, engine = socket.socketpair()
    with ours, engine:
        yield AttachedChannel(ours), engine


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(data)) + data


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 255]), st.binary(max_size=20))),
    st.lists(st.integers(1, 30)),
)
def test_stdout_comes_whole_however_it_is_cut(
    frames: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    ours, _ = pair = socket.socketpair()
    channel = AttachedChannel(ours)
    raw = b"".join(frame(*each) for each in frames)
    got = b""
    for size in [*cuts, len(raw)]:
        got += channel._unpack(raw[:size])
        raw = raw[size:]
    assert got == b"".join(data for stream, data in frames if stream == 1)
    complaint = b"".join(data for stream, data in frames if stream == 2)
    assert channel.complaint == complaint[-4096:]
    for each in pair:
        each.close()


async def test_a_length_that_lies_costs_nothing(
    ends: tuple[AttachedChannel, socket.socket],
) -> None:
    channel, engine = ends
    engine.sendall(struct.pack(">BxxxI", 2, 0xFFFFFFFF) + bytes(100_000))
    engine.shutdown(socket.SHUT_WR)
    assert await channel.receive() == b""
    assert len(channel.complaint) == 4096


async def test_the_end_is_told_from_nothing_yet(
    ends: tuple[AttachedChannel, socket.socket],
) -> None:
    channel, engine = ends
    assert channel.peek() is None
    engine.sendall(frame(2, b"a warning"))
    assert channel.peek() is None  # it is no word of the worker's
    engine.sendall(frame(1, b"a word"))
    assert channel.peek() == b"a word"
    engine.close()
    assert channel.peek() == b""
    assert await channel.receive() == b""


async def test_hanging_up_twice_is_no_error(ends: tuple[AttachedChannel, socket.socket]) -> None:
    channel, engine = ends
    engine.close()
    channel.hang_up()
    channel.hang_up()
    channel.close()
    channel.close()
