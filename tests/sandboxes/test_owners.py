"""Names of processes that own something, and when what they own has no owner any more."""

import os
from pathlib import Path

import pytest

from agentgym.sandboxes import images, owners
from agentgym.sandboxes.owners import is_gone, is_left, numbering, owner_name

ELSEWHERE = f"{os.getpid()}-1-{numbering() + 1}.0"


def test_a_process_of_another_numbering_is_neither_gone_nor_there() -> None:
    assert is_gone(f"{owner_name(os.getpid())}.0") is False
    assert is_gone(f"{os.getpid()}-1-{numbering()}.0") is True
    assert is_gone(ELSEWHERE) is None
    assert not any(map(is_gone, ("", "spawners", "1-2.0", "0123456789abcdef" * 4)))


def test_what_it_owns_is_left_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / ELSEWHERE
    path.mkdir()
    assert not is_left(path)
    os.utime(path, (1, 1))
    assert is_left(path)


def test_a_folder_that_another_numbering_builds_in_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shelf = tmp_path / "agentgym/images"
    for name in (ELSEWHERE, f"{os.getpid()}-1-{numbering()}.0"):
        (shelf / f".new-{name}").mkdir(parents=True)
    assert images.reap() == [f".new-{os.getpid()}-1-{numbering()}.0"]
    assert [path.name for path in shelf.iterdir()] == [f".new-{ELSEWHERE}"]


def test_the_kernel_tells_of_processes() -> None:
    assert owners.parent(os.getpid()) == os.getppid()
    assert 0 < (owners.age_s(os.getpid()) or 0) < 24 * 3600
    assert owners.parent(2**22 + 1) is owners.age_s(2**22 + 1) is None
    assert owners.start_time(2**22 + 1) == 0
