"""Nothing runs over the edge, is cut off, or lies below what should be under it."""

import numpy as np
import pytest
from trained_run import make_episode

from agentgym.store.episodes import EpisodeWriter
from agentgym.store.run import Run

pytestmark = [pytest.mark.slow]

GROUP, EPISODE = "train-000002-003", "train-000002-003.2.0"
PHONE = {"width": 400, "height": 800}
TARGETS = (
    "/", "/run/demo", "/run/demo?view=groups", "/run/demo?view=episodes", "/run/demo?view=record",
    f"/run/demo/group/{GROUP}", f"/run/demo/group/{GROUP}?view=map",
    f"/run/demo/episode/{EPISODE}?turn=1", f"/run/demo/episode/{EPISODE}?view=tokens&turn=1&token=3",
    f"/run/demo/episode/{EPISODE}?view=steps&turn=1", "/compare/demo/demo", "/compare/demo/hostile",
    "/compare/demo/demo?view=matrix", "/run/hostile?view=episodes", "/run/hostile?view=record",
)  # fmt: skip
OVER = "() => document.documentElement.scrollWidth - innerWidth"
CUT = """selector => [...document.querySelectorAll(selector)]
    .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth)
    .map(each => each.innerText)"""
BROKEN = """selector => [...document.querySelectorAll(selector)]
    .filter(each => each.getClientRects().length && each.getBoundingClientRect().height > 20)
    .map(each => each.innerText)"""


def test_no_page_is_wider_than_a_phone(page):
    page.set_viewport_size(PHONE)
    wider = []
    for target in TARGETS:
        page.goto(target)
        page.locator("main > *").first.wait_for()
        page.get_by_text("Loading.", exact=True).first.wait_for(state="detached")
        wider += [target] * (page.evaluate(OVER) > 0)
    page.keyboard.press(":")
    page.locator(".go-to input").wait_for()
    assert page.evaluate(OVER) == 0
    assert page.locator(".go-to input").bounding_box()["width"] > 200
    assert wider == []


def test_cells_of_a_comparison_are_whole_on_a_phone(page):
    page.set_viewport_size(PHONE)
    page.goto("/compare/demo/demo")
    page.locator(".pair").first.wait_for()
    assert page.evaluate(CUT, ".task-row > span:not(:first-child)") == []
    page.locator(".pair").first.click()
    page.locator(".aligned-row.head .reward").nth(1).wait_for()
    assert page.evaluate(CUT, ".aligned-row.head > span") == []


def test_numbers_of_the_ledger_stand_on_one_line_on_a_phone(page):
    page.set_viewport_size(PHONE)
    page.goto(f"/run/demo/episode/{EPISODE}?view=steps&turn=1")
    page.get_by_text("num_tokens").first.wait_for()
    assert page.evaluate(BROKEN, ".turn-line > .num") == []


def test_what_opens_over_a_group_is_not_covered_by_its_head(page):
    page.goto(f"/run/demo/group/{GROUP}")
    page.locator(".did").first.wait_for()
    page.keyboard.press("x")
    page.get_by_role("button", name="download").click(trial=True, timeout=3000)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator(".help dd").nth(3).click(trial=True, timeout=3000)


def test_a_group_of_64_is_seen_at_once_and_opens_side_by_side(tmp_path, view, watch):
    chance = np.random.default_rng(0)
    with Run.create(tmp_path / "many", config_text="", command=["x"], seed=0):
        pass
    with EpisodeWriter(tmp_path / "many") as writer:
        for member in range(64):
            writer.append(make_episode(chance, 0, 0, member))
    with view(tmp_path, tmp_path / "cache") as url, watch(url) as page:
        page.goto("/run/many?view=groups")
        page.locator(".cell").nth(63).wait_for()
        assert page.evaluate(CUT, ".cells") == []
        assert page.locator(".cell").nth(63).get_attribute("title").startswith("train-000000")
        page.locator(".group-row a").first.click()
        page.locator(".aligned-row.head a").nth(63).wait_for()


def test_a_run_of_any_name_leaves_room_for_its_numbers(tmp_path, view, watch, record):
    record("long" * 50, [1.0, 0.0])
    with view(tmp_path, tmp_path / "cache") as url, watch(url) as page:
        page.goto("/")
        page.locator(".lines tbody tr").wait_for()
        name, *_, started = page.locator(".lines tbody tr > *:not(.pick)").all()
        assert name.bounding_box()["width"] < 500
        box = started.bounding_box()
        assert box["x"] + box["width"] <= 1280
        page.goto(f"/compare/{'long' * 50}/{'long' * 50}")
        page.locator(".pair").first.wait_for()
        assert page.evaluate(OVER) == 0
