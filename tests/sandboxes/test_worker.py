"""Parts of the worker that need no sandbox."""

import os

from hypothesis import given, strategies as st

from agentgym.sandboxes.inside.streams import Kept, forget


@given(st.lists(st.binary(min_size=1, max_size=40)), st.integers(0, 60))
def test_the_first_and_last_half_are_kept(chunks: list[bytes], keep: int) -> None:
    kept = Kept(keep // 2, keep - keep // 2)
    reader, writer = os.pipe()
    for chunk in chunks:
        os.write(writer, chunk)
        assert kept.read(reader) == len(chunk)
    os.close(writer)
    os.close(reader)
    everything = b"".join(chunks)
    expected = everything
    if len(everything) > keep:
        half = keep // 2
        expected = everything[:half] + everything[len(everything) - (keep - half) :]
    assert b"".join(kept.parts()) == expected
    assert kept.total == len(everything)


def test_forgetting_overwrites_in_place() -> None:
    secret = bytearray(b"secret")
    alias = memoryview(secret)
    forget(secret)
    assert bytes(alias) == bytes(6)
