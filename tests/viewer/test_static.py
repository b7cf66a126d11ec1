"""The pages: what is committed is what the sources make, small, and nothing from elsewhere."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agentgym.viewer.app import static_files

WEB = Path(__file__).parents[2] / "agentgym/viewer/web"
SOURCES = WEB / "src"
LARGEST = 250_000


def _sources_hash() -> str:
    names = [path.relative_to(WEB).as_posix() for path in SOURCES.rglob("*") if path.is_file()]
    found = hashlib.sha256()
    for name in sorted([*names, "package-lock.json", "build.mjs"]):
        found.update(f"{name}\0".encode() + (WEB / name).read_bytes() + b"\0")
    return found.hexdigest()


def test_the_bundle_is_of_these_sources():
    line = static_files()["app.js"].split(b"\n", 1)[0].decode()
    assert line == f"// sources {_sources_hash()}", "run `make viewer` and commit static/"


def _needs_node() -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (WEB / "node_modules").is_dir():
        pytest.skip("esbuild is not installed: run `make viewer`")


@pytest.mark.slow
def test_a_fresh_build_has_the_same_bytes(tmp_path):
    _needs_node()
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=WEB, check=True, timeout=60)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(built) == ["app.css", "app.js"]
    assert built == {name: static_files()[name] for name in built}


@pytest.mark.slow
def test_the_sources_do_what_their_tests_say():
    _needs_node()
    done = subprocess.run(
        ["node", "test.mjs"], cwd=WEB, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"# pass [1-9]\d", done.stdout)


def test_the_bundle_is_small():
    files = static_files()
    assert sorted(files) == ["app.css", "app.js", "index.html"]
    assert 10_000 < len(files["app.js"]) + len(files["app.css"]) <= LARGEST


def test_nothing_is_from_elsewhere():
    files = static_files()
    addresses = set(re.findall(rb"https?://[^\"'`\s)]+", b"".join(files.values())))
    names = {b"http://www.w3.org/"}  # of namespaces: nobody asks there
    assert {each for each in addresses if not each.startswith(tuple(names))} == set()
    assert b"@import" not in files["app.css"]
    assert b"url(" not in files["app.css"]


def test_the_page_has_nothing_that_the_policy_forbids():
    page = static_files()["index.html"].decode()
    assert re.findall(r"<script\b[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert "<style" not in page
    assert not re.search(r"\s(on\w+|style)=", page)


def test_no_text_becomes_markup():
    for path in SOURCES.rglob("*.ts*"):
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, path
