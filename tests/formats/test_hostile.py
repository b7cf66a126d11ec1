"""Whatever stands in a file: it is read, or refused with its place, and never anything else."""

import copy
import gzip
import io
import json
import struct
import sys
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from drawn_episodes import Json
from foreign import ATIF, EVAL, EVENT, MESSAGES, SAMPLE, SWE_AGENT
from hypothesis import HealthCheck, given, settings, strategies as st

from agentgym.errors import AgentGymError
from agentgym.formats.imported import read_any
from agentgym.store.trajectory import from_body, to_body

if sys.version_info >= (3, 14):
    import zipfile

    from compression import zstd
else:
    from backports import zstd
    from backports.zstd import zipfile

FILES = Path(__file__).parent / "files"
VERIFIERS = (FILES / "verifiers.jsonl").read_text().splitlines()
DOCUMENTS: dict[str, Any] = {
    "ATIF": ATIF,
    "inspect": EVAL
    | {"samples": [SAMPLE | {"scores": {"match": {"value": "C"}}, "events": [EVENT]}]},
    "verifiers": json.loads(VERIFIERS[1]),
    "SWE-agent": SWE_AGENT | {"attempts": [SWE_AGENT]},
    "mini-swe-agent": json.loads((FILES / "mini-swe-agent.json").read_text()),
    "OpenAI messages": {"messages": MESSAGES, "tools": [{"function": {"name": "f"}}]},
}
Odd = Json | st.sampled_from([1e400, -1, 2**70, "\ud800", [[]], {"type": "text"}, "NaN"])


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=st.lists(st.integers(0, 50), min_size=8, max_size=8), value=Odd)
def test_any_value_in_any_place_is_read_or_refused(
    tmp_path: Path, name: str, choices: list[int], value: Any
) -> None:
    document = copy.deepcopy(DOCUMENTS[name])
    put(document, choices, value)
    path = tmp_path / "file"
    path.write_text(json.dumps(document))
    try:
        episodes = list(read_any(path))
    except AgentGymError as error:
        told, episodes = str(error), []
        assert (str(path) in told, len(told) < 1000) == (True, True)
    for episode in episodes:
        try:
            stored = to_body(episode)
        except AgentGymError:  # token ids that no vocabulary has
            continue
        assert from_body(*stored) == episode


@pytest.mark.parametrize("pack", ["gzip", "zstd", "zip", "zip-zstd"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4),
    byte=st.binary(min_size=1, max_size=1),
)
def test_any_byte_of_a_packed_file_may_be_wrong(
    tmp_path: Path, pack: str, places: list[float], byte: bytes
) -> None:
    data = bytearray(packed(pack))
    for place in places:
        data[4 + int(place * (len(data) - 4)) : 5 + int(place * (len(data) - 4))] = byte
    path = tmp_path / "file"
    path.write_bytes(data)
    told = ""
    try:
        list(read_any(path, on_broken=lambda _: None))
    except AgentGymError as error:
        told = str(error)
    assert not told or str(path) in told


@cache
def packed(pack: str) -> bytes:
    lines = b"".join(json.dumps({"messages": MESSAGES, "n": n}).encode() + b"\n" for n in range(20))
    if pack in ("gzip", "zstd"):
        return gzip.compress(lines, mtime=0) if pack == "gzip" else zstd.compress(lines)
    file = io.BytesIO()
    method = zipfile.ZIP_ZSTANDARD if pack == "zip-zstd" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("header.json", json.dumps(EVAL))
        for n in range(5):
            archive.writestr(f"samples/{n}_epoch_1.json", json.dumps(SAMPLE | {"pad": "xyz" * n}))
    return file.getvalue()


def test_a_member_that_lies_about_its_size_is_not_unpacked_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.eval"
    size = 64 << 20
    with zipfile.ZipFile(path, "w", zipfile.ZIP_ZSTANDARD) as archive:
        archive.writestr("header.json", json.dumps(EVAL))
        archive.writestr("samples/1_epoch_1.json", b" " * size)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", 100)))
    tracemalloc.start()
    with pytest.raises(AgentGymError, match="cannot be read"):
        list(read_any(path))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 << 20


def test_members_are_packed_in_a_way_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("header.json", json.dumps(EVAL))
        archive.writestr("samples/1_epoch_1.json", json.dumps(SAMPLE))
    with pytest.raises(AgentGymError, match="packed by method 12"):
        list(read_any(path))


@pytest.mark.parametrize("depth", [90, 300, 700, 960, 2000])
@pytest.mark.parametrize("place", ["target", "content", "tools"])
def test_values_in_one_another_are_refused_before_anybody_falls(
    tmp_path: Path, place: str, depth: int
) -> None:
    deep = "DEEP"
    sample = SAMPLE | {"target": deep if place == "target" else "x"}
    if place == "content":
        said = [{"role": "user", "content": [{"type": "text", "text": "Hi", "more": deep}]}]
        sample |= {"messages": said}
    document = EVAL | {"samples": [sample]}
    if place == "tools":  # a JSON Schema
        document = {"messages": MESSAGES, "tools": [{"name": "f", "parameters": deep}]}
    path = tmp_path / "a"
    nested = '{"a":' * depth + "1" + "}" * depth
    path.write_text(json.dumps(document).replace('"DEEP"', nested))
    broken: list[Exception] = []
    found = []
    try:
        found = list(read_any(path, on_broken=broken.append))
    except AgentGymError as error:
        broken = [error]
    assert len(found) + len(broken) == 1
    if depth == 90:
        assert found
    for each in found:
        assert from_body(*to_body(each)) == each
    assert all(str(path) in str(each) for each in broken)
    if 100 < depth < 900 and place != "content":
        assert "at most 100 times" in str(broken[0])


def put(document: Any, choices: list[int], value: Any) -> None:
    """Walk into a document, and put a value where the walk ends."""
    for choice in choices:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        key = keys[choice % len(keys)]
        child = document[key]
        if not isinstance(child, dict | list) or not child or choice > 45:
            break
        document = child
    document[key] = value
