"""Walks through runs as they are in life: one that goes on, one that was killed, one that attacks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile_run import NAMES, SCRIPT
from trained_run import make_trained_run

from agentgym.store.episodes import FOLDER

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).parents[3]
CONFIG = """\
seed = 1
out = "live"
env = {id = "agentgym/KeyDoor-v0", rules = false, max_turns = 4}
model = {device = "cpu", tiny = {layers = 1, width = 16, heads = 2}}
rollout = {groups = 2, group_size = 2, sampling.max_tokens = 3}
train = {steps = 4000}
checkpoint = {every = 4000}
"""


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training that goes on for longer than any test, and its run."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "kd.toml").write_text(CONFIG)
    with (folder / "told").open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentgym", "train", "kd.toml"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=told,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
    try:
        until(lambda: steps(folder / "live") >= 2, folder / "told")
        yield process, folder / "live"
    finally:
        process.kill()
        process.wait()


def steps(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until(is_so, told: Path, within_s: float = 60) -> None:
    stop = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < stop, told.read_text()
        time.sleep(0.1)


def test_a_run_grows_on_screen_and_stays_readable_when_it_is_killed(training, view, watch, browser):
    """List, curves and grid grow without a reload; after kill -9 the same page says so."""
    process, run = training
    with view(run, run.parent / "cache") as url, watch(url) as page:
        page.goto("/")
        row = page.get_by_role("row", name="live")
        row.get_by_text("running").wait_for()
        grows(page, "() => Number(document.querySelectorAll('.lines tbody .num')[1].innerText)")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.locator(".curve").first.wait_for()
        grows(page, "() => document.querySelector('.curve polyline').points.length")
        page.keyboard.press("2")
        page.locator(".group-row").first.wait_for()
        grows(
            page, "() => Number(document.querySelector('main').innerText.match(/(\\d+) groups/)[1])"
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
        tear(run)
        page.locator(".facts .status", has_text="interrupted").wait_for(timeout=20_000)
        page.keyboard.press("3")
        page.locator(".episode-row a").first.click()
        page.locator(".message").first.wait_for()


def grows(page, read: str) -> None:
    """Wait until a number on screen is larger than it is now."""
    page.wait_for_function(read)
    page.wait_for_function(f"before => ({read})() > before", arg=page.evaluate(read))


def tear(run: Path) -> None:
    """Leave half of a record at the end of a shard, as a machine that stops does."""
    shard = max((run / FOLDER).iterdir())
    shard.write_bytes(shard.read_bytes() + shard.read_bytes()[-200:-60])


def test_a_server_that_was_away_is_asked_again_when_it_is_back(browser, address):
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.route("**/api/tail", lambda route: route.fulfill(status=503, body="{}"))
    page.route("**/api/runs", lambda route: route.abort())
    page.goto("/")
    page.get_by_role("alert").get_by_text("the server does not answer").wait_for()
    page.get_by_role("status").get_by_text("the server does not answer").wait_for()
    page.unroute_all()
    page.get_by_role("link", name="demo").wait_for()
    assert page.get_by_role("alert").count() == 0
    assert page.get_by_role("status").inner_text() == ""
    context.close()


def test_a_run_that_was_moved_away_is_told_and_shown_again_when_it_is_back(tmp_path, view, watch):
    run = tmp_path / "runs" / "moved"
    make_trained_run(run, steps=1)
    with view(run.parent, tmp_path / "cache") as url, watch(url) as page:
        page.goto("/run/moved?view=episodes")
        page.locator(".episode-row a").first.wait_for()
        run.rename(tmp_path / "elsewhere")
        page.get_by_role("status").get_by_text("this run is not there any more").wait_for()
        page.get_by_text("No episode is in the index yet.").wait_for()
        page.goto("/run/moved/group/train-000000-001")
        page.get_by_role("alert").get_by_text("no group").wait_for()
        (tmp_path / "elsewhere").rename(run)
        page.locator(".did").first.wait_for()
        assert page.get_by_role("alert").count() == 0
        assert "not there" not in page.locator(".told").inner_text()


def test_a_damaged_run_tells_what_cannot_be_read(page):
    page.goto("/")
    row = page.get_by_role("row", name="torn")
    row.get_by_text("interrupted").wait_for()
    row.get_by_role("link", name="torn").click()
    page.get_by_role("button", name="record").click()
    page.get_by_role("heading", name="What cannot be read").wait_for()
    assert page.locator("section .bad").count() >= 1
    page.get_by_role("button", name="groups").click()
    page.locator(".group-row a").first.wait_for()
    page.get_by_role("button", name="episodes").click()
    page.locator(".episode-row a").first.click()
    page.locator(".message").first.wait_for()


def test_a_run_made_by_the_trainers_record_has_every_panel(page):
    """Groups, numbers of tokens and the tally are those of the record."""
    page.goto("/run/trained/group/train-000001-001?view=map")
    page.locator(".node").first.wait_for()
    page.goto("/run/trained?view=record")
    page.get_by_role("row", name="trained").first.wait_for()
    page.goto("/run/trained/episode/train-000001-001.0.0?view=tokens&turn=0&token=0")
    page.get_by_text("weight").first.wait_for()


def test_what_attacks_is_shown_as_text(page, address):
    """A script in every field of a run: each screen shows it, and nothing of it runs."""
    found = page.request.get(f"{address}/api/runs/hostile/episodes?limit=100").json()["rows"]
    assert len(found) == len(NAMES)
    name = next(each["id"] for each in found if each["id"].startswith("</script>"))
    place = json.dumps(name)
    raw = []
    for target in (
        "/", "/run/hostile", "/run/hostile?view=groups", "/run/hostile?view=episodes",
        "/run/hostile?view=record", "/compare/hostile/hostile", "/compare/hostile/hostile?view=matrix",
        "GROUP", "GROUP?view=map&node=0", "EPISODE?turn=0", "EPISODE?view=tokens&turn=0&token=0",
    ):  # fmt: skip
        part = page.evaluate(f"() => encodeURIComponent({place})")
        path = target.replace("GROUP", f"/run/hostile/group/{part}")
        page.goto(path.replace("EPISODE", f"/run/hostile/episode/{part}"))
        page.locator("main > *").first.wait_for()
        page.get_by_text("Loading.", exact=True).first.wait_for(state="detached")
        assert page.locator("main img, main script, main iframe, main style").count() == 0, target
        assert page.evaluate("() => document.scripts.length") == 1
        raw += [target] * ("\x1b" in page.locator("body").inner_text())
    assert raw == [], "control characters are shown as symbols"
    page.goto("/run/hostile?view=episodes")
    page.get_by_text("alert(1)").first.wait_for()
    assert SCRIPT not in page.content()
