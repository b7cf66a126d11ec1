"""Every screen for everybody: by axe, by keyboard alone, in both themes, on any width and on paper."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from screens import EPISODE, GROUP, SCREENS

pytestmark = [pytest.mark.slow]

AXE = Path(__file__).parents[3] / "agentgym/viewer/web/node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: run `make viewer`")
    return AXE.read_text()


def settle(page, target: str) -> None:
    """Open a screen, and wait until it shows what it was asked for."""
    page.goto(target)
    page.locator("main > *").first.wait_for()
    page.get_by_text("Loading.", exact=True).first.wait_for(state="detached")


CUT = """() => [...document.querySelectorAll('button, select, h1, h2')]
  .filter(each => !each.closest('[class*=row], .turns, .map, table, .cells'))
  .filter(each => {
    const box = each.getBoundingClientRect();
    return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
  }).map(each => each.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_for_everybody(page, axe, name):
    """Light and wide, then dark and narrow: nothing is cut, axe finds nothing serious; it prints."""
    settle(page, SCREENS[name])
    page.get_by_role("button", name="keys", exact=True).click()
    page.evaluate(axe)
    for scheme, width in (("light", 1280), ("dark", 400)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT) == []
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert found["passes"]
        told = [
            (scheme, each["id"], each["nodes"][0]["html"][:200])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert told == []
    assert page.pdf().startswith(b"%PDF")


def test_a_printed_list_has_all_of_its_rows(page):
    settle(page, "/run/demo?view=groups")
    page.locator(".group-row").first.wait_for()
    seen = page.locator(".group-row").count()
    total = int(re.search(r"(\d+) groups", page.locator("main").inner_text())[1])
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.locator(".group-row").nth(seen + 5).wait_for()
    page.wait_for_function(
        "total => document.querySelectorAll('.group-row').length === total", arg=total
    )
    assert not page.locator(".top button").first.is_visible()


def test_nothing_moves_for_those_who_want_that(page):
    page.emulate_media(reduced_motion="reduce")
    for target in (SCREENS["map"], SCREENS["messages"]):
        settle(page, target)
        moving = page.evaluate(
            "[...document.querySelectorAll('*')].filter(each => {"
            " const style = getComputedStyle(each);"
            " return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0; }).length"
        )
        assert moving == 0


def test_the_order_of_focus_is_that_of_the_page(page):
    """From the head over the bar into what is shown; every stop can be seen and has a name."""
    settle(page, f"/run/demo/group/{GROUP}")
    tops, names = [], []
    for _ in range(24):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "() => { const each = document.activeElement, box = each.getBoundingClientRect();"
            " const style = getComputedStyle(each); return {top: box.top,"
            " seen: box.width > 0 && style.outlineStyle !== 'none',"
            " name: each.ariaLabel || each.labels?.[0]?.innerText || each.innerText}; }"
        )
        assert found["seen"], found
        assert found["name"], found
        tops.append(found["top"])
        names.append(found["name"])
    assert names[:2] == ["runs", "demo"]
    bands = [top // 60 for top in tops]
    assert sum(b < a for a, b in pairwise(bands)) <= 1


def test_a_whole_walk_needs_no_mouse(page):
    """From the list of runs to a token, by keys alone."""
    settle(page, "/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/run/demo")
    page.get_by_role("slider").first.wait_for()
    page.keyboard.press("2")
    page.locator(".group-row a").first.wait_for()
    page.get_by_role("link", name=GROUP).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/group/{GROUP}")
    page.locator(".did").first.wait_for()
    page.keyboard.press("n")
    page.wait_for_url("**row=0")
    page.keyboard.press("m")
    page.locator(".node").first.wait_for()
    page.keyboard.press("n")
    page.wait_for_url("**node=1**")
    page.locator(".turns").get_by_role("link", name="tokens").first.focus()
    page.keyboard.press("Enter")
    page.locator(".t").first.wait_for()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**token=0**")


def test_numbers_of_colours_are_told_to_those_who_do_not_see_them(page):
    settle(page, f"/run/demo/group/{GROUP}?view=map")
    edge = page.locator(".edge-group").first
    edge.focus()
    told = edge.get_attribute("aria-label")
    assert "mean advantage" in told
    assert page.locator(".map-at").inner_text() == told
    settle(page, "/run/demo?curve=success")
    curve = page.get_by_role("slider", name="success:").first
    before = curve.get_attribute("aria-label")
    curve.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "([each, before]) => each.ariaLabel !== before", arg=[curve.element_handle(), before]
    )
    assert "at step" in curve.get_attribute("aria-label")
    settle(page, f"/run/demo/episode/{EPISODE}")
