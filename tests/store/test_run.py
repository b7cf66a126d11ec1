import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentgym.errors import ConfigError, StoreError
from agentgym.store.run import Run

ARGS = {"config_text": "seed = 1\n", "command": ["agentgym", "train"], "seed": 1}


def test_a_run_says_what_made_it(tmp_path):
    with Run.create(tmp_path / "runs" / "a", **ARGS, env="me/Key-v0") as run:
        assert run.config_path.read_text() == "seed = 1\n"
    info = json.loads((tmp_path / "runs/a/run.json").read_text())
    assert info["schema"] == "agentgym.run/1"
    assert info["command"] == ["agentgym", "train"]
    assert (info["seed"], info["env"], info["step"]) == (1, "me/Key-v0", 0)
    assert info["versions"].keys() >= {"agentgym", "python", "numpy"}
    assert re.fullmatch(r"[0-9a-f]{40}", info["git_commit"] or "0" * 40)
    assert not list(run.root.glob("*.tmp"))


def test_the_status_of_a_run_follows_its_process(tmp_path):
    run = Run.create(tmp_path / "a", **ARGS)
    assert Run.open(run.root).status == "running"
    run.update(step=7, best=0.5)
    run.close()
    assert Run.open(run.root).status == "interrupted"
    with Run.resume(run.root) as again:
        assert (again.step, again.info["best"], again.status) == (7, 0.5, "running")
        again.update(status="finished")
    assert Run.open(run.root).status == "finished"


def test_a_used_directory_is_refused_and_left_alone(tmp_path):
    root = tmp_path / "a"
    root.mkdir()
    Run.create(root, **ARGS).close()  # an empty one is welcome
    before = {each.name: each.read_bytes() for each in root.iterdir()}
    with pytest.raises(ConfigError, match="exists already") as error:
        Run.create(root, **ARGS)
    assert error.value.exit_code == 2
    assert "agentgym resume" in error.value.hint
    assert "--clean" in error.value.hint
    assert {each.name: each.read_bytes() for each in root.iterdir()} == before
    with pytest.raises(ConfigError, match="exists already and is no run") as error:
        Run.create(root / "run.json", **ARGS)
    assert "resume" not in error.value.hint


def test_clean_deletes_a_run_and_nothing_else(tmp_path):
    with Run.create(tmp_path / "a", **ARGS) as run:
        run.event("phase")
        with pytest.raises(StoreError, match="being written"):
            Run.create(run.root, **ARGS, clean=True)
    with Run.create(run.root, **ARGS, clean=True) as run:
        assert list(run.events()) == []
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="is no run; it is not deleted"):
        Run.create(tmp_path / "home", **ARGS, clean=True)
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_a_folder_behind_a_link_and_the_current_one_are_only_emptied(tmp_path, monkeypatch):
    for name in ("behind", "here"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "behind")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "kept").write_text("x")
    for path in (link, Path()):
        with Run.create(path, **ARGS) as run:
            (path / "folder").mkdir()
            (path / "folder" / "file").write_text("x")
            (path / "to_kept").symlink_to(tmp_path / "kept")
        with Run.create(path, **ARGS, clean=True) as run:
            assert not (path / "folder").exists()
            run.discard()
        assert list(path.iterdir()) == []
    assert (tmp_path / "kept").read_text() == "x"
    Run.create(link, **ARGS).close()


def test_what_cannot_be_deleted_says_why(tmp_path, monkeypatch):
    def refuse(path):
        raise OSError("it is a wall")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with (
        Run.create(tmp_path / "a", **ARGS) as run,
        pytest.raises(StoreError, match=r"cannot delete .*a: it is a wall"),
    ):
        run.discard()


_HOLD = """
    import sys, time
    from agentgym.store.run import Run
    run = Run.create(sys.argv[1], config_text="", command=[], seed=0)
    run.event("phase", name="rl")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_process(tmp_path):
    script = textwrap.dedent(_HOLD)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        yield child
        child.kill()


def test_two_processes_cannot_write_one_run(tmp_path, other_process):
    with pytest.raises(StoreError, match=f"written by pid {other_process.pid} on"):
        Run.resume(tmp_path / "a")
    assert Run.open(tmp_path / "a").status == "running"


def test_a_killed_run_opens_and_can_be_resumed(tmp_path, other_process):
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    run = Run.open(tmp_path / "a")
    assert run.status == "interrupted"
    with run.events_path.open("ab") as file:
        file.write(b'{"time": "now", "ki')  # cut in the middle
    with Run.resume(tmp_path / "a") as again:
        again.event("phase", name="resumed")
        assert [event["name"] for event in again.events()] == ["rl", "resumed"]


def test_a_run_opened_for_reading_cannot_be_changed(tmp_path):
    Run.create(tmp_path / "a", **ARGS).close()
    run = Run.open(tmp_path / "a")
    with pytest.raises(StoreError, match="reading only"):
        run.update(step=1)
    with pytest.raises(StoreError, match="reading only"):
        run.event("phase")


def test_no_run_names_the_nearest(tmp_path):
    for name in ("quickstart", "keydoor"):
        Run.create(tmp_path / "runs" / name, **ARGS).close()
    with pytest.raises(ConfigError, match="no run at") as error:
        Run.open(tmp_path / "runs" / "quikstart")
    assert error.value.hint == f"did you mean '{tmp_path}/runs/quickstart'?"
    with pytest.raises(ConfigError) as error:
        Run.open(tmp_path / "keydoor")
    assert error.value.hint == f"did you mean '{tmp_path}/runs/keydoor'?"
    with pytest.raises(ConfigError) as error:
        Run.resume(tmp_path / "runs" / "zzz")
    assert "there are: " in error.value.hint


def test_a_broken_or_newer_run_is_a_clear_error(tmp_path):
    Run.create(tmp_path / "a", **ARGS).close()
    path = tmp_path / "a" / "run.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"schema": "agentgym.run/1.3", "colour": "red"}))
    assert Run.open(tmp_path / "a").info["colour"] == "red"
    path.write_text(json.dumps(info | {"schema": "agentgym.run/2"}))
    with pytest.raises(StoreError, match=r"schema agentgym\.run/2;"):
        Run.open(tmp_path / "a")
    path.write_text('{"schema": ')
    with pytest.raises(StoreError, match="cannot be read"):
        Run.open(tmp_path / "a")


def test_what_is_not_json_is_refused_and_the_old_file_stays(tmp_path):
    with Run.create(tmp_path / "a", **ARGS) as run:
        with pytest.raises(StoreError, match="best is nan"):
            run.update(best=float("nan"))
        with pytest.raises(StoreError, match=r"event fault .* where is of type PosixPath"):
            run.event("fault", where=Path("x"))
        assert Run.open(run.root).info == run.info
        assert list(run.events()) == []


def test_a_run_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Run.create(tmp_path / "file" / "a", **ARGS)


def test_the_lock_does_not_outlive_close_in_a_child(tmp_path):
    run = Run.create(tmp_path / "a", **ARGS)
    descriptor = run._lock._descriptor
    with subprocess.Popen(["sleep", "60"], pass_fds=[descriptor]) as child:
        run.close()
        Run.resume(tmp_path / "a").close()
        child.kill()


def test_on_a_full_disk_the_old_run_file_stays(small_disk):
    with Run.create(small_disk / "a", **ARGS) as run:
        run.event("phase", name="rl")
        (small_disk / "ballast").write_bytes(bytes(_free_bytes(small_disk)))
        with pytest.raises(StoreError, match="disk full"):
            run.update(step=1)
        with pytest.raises(StoreError, match="disk full"):
            run.event("note", text="x" * 10_000)
        assert Run.open(run.root).step == run.step == 0
        assert [event["name"] for event in run.events()] == ["rl"]
        (small_disk / "ballast").unlink()
        run.update(step=2)
        run.event("phase", name="more")
        assert Run.open(run.root).step == 2
        assert [event["name"] for event in run.events()] == ["rl", "more"]


def _free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def test_a_clock_of_its_own_tells_all_times(tmp_path):
    seconds = itertools.count()
    start = datetime(2001, 2, 3, tzinfo=UTC)
    clock = lambda: start + timedelta(seconds=next(seconds))  # noqa: E731
    with Run.create(tmp_path / "a", **ARGS, clock=clock) as run:
        run.event("one")
        run.update(step=1)
        times = [run.info["created"], *(each["time"] for each in run.events()), run.info["updated"]]
    assert times == sorted(times)
    assert all(time.startswith("2001-02-03T00:00:0") for time in times)


def test_without_one_times_are_those_of_the_machine(tmp_path):
    with Run.create(tmp_path / "a", **ARGS) as run:
        run.event("one")
        (event,) = run.events()
    for time in (run.info["created"], run.info["updated"], event["time"]):
        assert abs(datetime.fromisoformat(time) - datetime.now(UTC)) < timedelta(minutes=5)
