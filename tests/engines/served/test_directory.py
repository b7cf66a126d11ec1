"""The private folder and the token in it."""

import os
from pathlib import Path

import pytest

from agentgym.engines.served import directory as module
from agentgym.engines.served.directory import private_directory
from agentgym.engines.served.serve import find_token
from agentgym.errors import ConfigError


def test_the_folder_is_its_owners_and_gone_afterwards() -> None:
    with private_directory(weights_bytes=10) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "weights").is_dir()
        with private_directory(weights_bytes=10) as other:
            assert other != folder
            assert folder.is_dir()  # its owner lives
    assert not folder.exists()


def test_weights_go_where_they_fit_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_MEMORY", tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "disk"))
    monkeypatch.setattr(module.tempfile, "tempdir", None)
    (tmp_path / "disk").mkdir()
    room = os.statvfs(tmp_path)
    with private_directory(weights_bytes=room.f_bavail * room.f_frsize // 2) as folder:
        assert folder.parent == tmp_path / "disk"
    with private_directory(weights_bytes=1) as folder:
        assert folder.parent == tmp_path


def test_a_token_is_made_once_and_read_again(tmp_path: Path) -> None:
    token, file = find_token(None, directory=tmp_path)
    assert len(token) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert find_token(file, directory=tmp_path) == (token, file)
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="others can read"):
        find_token(file, directory=tmp_path)


@pytest.mark.parametrize("text", ["short", "two words are no token", "é" * 40])
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    (tmp_path / "t").chmod(0o600)
    with pytest.raises(ConfigError, match="token"):
        find_token(tmp_path / "t", directory=tmp_path)
    with pytest.raises(ConfigError, match="cannot be used"):
        find_token(tmp_path / "nowhere" / "t", directory=tmp_path)
