"""The tree is what it says: links resolve, the wheel is complete, importing costs nothing."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINKS = ("envs", "sandboxes", "trainers")


def git_files(*patterns: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split())


@pytest.mark.parametrize("name", LINKS)
def test_links_lead_to_the_folders_at_the_top(name: str) -> None:
    link = ROOT / "agentgym" / name
    assert link.is_symlink(), f"{link} is no symbolic link: was the clone made without them?"
    assert link.resolve() == ROOT / name


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    tracked = git_files("agentgym", *LINKS)
    expected = {f if f.startswith("agentgym/") else f"agentgym/{f}" for f in tracked}
    expected -= {f"agentgym/{name}" for name in LINKS}
    sources = {name for name in expected if name.startswith("agentgym/viewer/web/")}
    assert expected - names == sources  # the pages themselves are in agentgym/viewer/static/
    assert sources


@pytest.mark.parametrize("module", ["agentgym", "agentgym.env", "agentgym.tools"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert loaded.isdisjoint({"torch", "transformers", "gymnasium", "numpy", "vllm", "docker"})


def test_no_file_names_the_folder_beside_the_project() -> None:
    outside = "../" + "shared"
    for name in git_files():
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            assert outside not in path.read_text("utf-8", "replace"), name
