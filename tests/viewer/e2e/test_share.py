"""A shared file in a browser that has no server and no network."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow]

GROUP = "train-000004-001"
ROOT = Path(__file__).parents[3]
CREDITS = ["", "gigpo", "salt"]


@pytest.fixture(scope="module")
def shared(demo, tmp_path_factory):
    """The file of a group, made without a server."""
    path = tmp_path_factory.mktemp("shared") / "group.html"
    words = ["--html", "--group", GROUP, "--credit", "gigpo", "--credit", "salt", "-o", str(path)]
    subprocess.run(
        [sys.executable, "-m", "agentgym", "export", str(demo), *words],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return path


@pytest.fixture
def offline(browser, shared):
    """A page in which nothing may be asked for, and nothing may go wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    page = context.new_page()
    wrong = []
    page.on("console", lambda each: wrong.append(each.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda each: each.url.startswith(shared.as_uri()) or wrong.append(each.url))
    page.goto(shared.as_uri())
    yield page
    context.close()
    assert wrong == []


def go(page, place: str) -> None:
    """Follow a link of the file to a place."""
    page.evaluate("place => { location.hash = place }", place)


def settled(page) -> None:
    """Wait until nothing is asked for; and nothing may have failed."""
    page.evaluate("new Promise(done => setTimeout(done, 40))")  # answers of a file come at once
    page.get_by_text("Loading.").first.wait_for(state="detached")
    assert page.get_by_role("alert").count() == 0
    assert "not known" not in page.locator("main").inner_text()


def test_every_page_of_a_group_is_in_its_file(offline):
    offline.get_by_role("table", name="rollouts side by side").wait_for()
    assert offline.title().startswith(GROUP)
    assert offline.get_by_role("button", name="share").count() == 0
    seen = set()
    for credit in CREDITS:
        for minus in ["", "trained", *CREDITS[1:]]:
            for view in ["", "map"]:
                words = f"credit={credit}&minus={minus}&view={view}"
                go(offline, f"/run/demo/group/{GROUP}?{words}")
                settled(offline)
            label = offline.get_by_text("shown: ")
            label.wait_for()
            seen.add(label.inner_text())
    assert len(seen) > 6
    offline.get_by_label("credit").select_option("gigpo")
    assert "credit=gigpo" in offline.url


def test_every_episode_of_a_group_is_in_its_file(offline):
    offline.get_by_role("table", name="rollouts side by side").wait_for()
    links = offline.locator(".aligned-row.head a")
    names = [each.get_attribute("title") for each in links.all()]
    links.first.click()
    offline.get_by_label("views").or_(offline.locator(".views")).first.wait_for()
    assert re.search(r"#/run/demo/episode/", offline.url)
    offline.go_back()
    offline.get_by_role("table", name="rollouts side by side").wait_for()
    assert len(names) > 1
    for name in names:
        for view in ["messages", "tokens", "steps"]:
            go(offline, f"/run/demo/episode/{name}?view={view}")
            offline.locator(".split").wait_for()
            settled(offline)


def test_tokens_are_coloured_and_explained_without_a_server(offline, page, address):
    name = f"{GROUP}.0.0"
    place = f"/run/demo/episode/{name}?view=tokens&turn=0&token=2"
    go(offline, place)
    page.goto(place)
    for each in (offline, page):
        each.locator(".t.chosen").wait_for()
        each.locator(".chain li").first.wait_for()
        each.get_by_role("group", name="colour").get_by_role("button", name="weight").wait_for()
    modes = page.get_by_role("group", name="colour").get_by_role("button").all_inner_texts()
    assert len(modes) > 3
    for mode in modes:
        for each in (offline, page):
            each.get_by_role("group", name="colour").get_by_role("button", name=mode).click()
        look = "[...document.querySelectorAll('.t')].map(each => each.className + each.innerText)"
        deadline = time.monotonic() + 10  # a server answers later than a file
        while offline.evaluate(look) != page.evaluate(look) and time.monotonic() < deadline:
            page.wait_for_timeout(20)
        assert offline.evaluate(look) == page.evaluate(look)
    assert offline.locator(".side").inner_text() == page.locator(".side").inner_text()
    for _ in range(4):
        offline.keyboard.press("ArrowRight")
        settled(offline)


def test_the_button_downloads_the_file(page, tmp_path):
    page.goto(f"/run/demo/episode/{GROUP}.0.0")
    page.locator(".split").wait_for()
    page.keyboard.press("x")
    field = page.get_by_label("estimators to ask in it")
    field.fill("grpoo")
    field.press("Enter")
    page.get_by_role("alert").get_by_text("grpoo").wait_for()
    field.fill("grpo")
    with page.expect_download() as download:
        field.press("Enter")
    assert download.value.suggested_filename == f"demo-{GROUP}.0.0.html"
    download.value.save_as(tmp_path / "it.html")
    assert (tmp_path / "it.html").read_text().count("<script") == 2
