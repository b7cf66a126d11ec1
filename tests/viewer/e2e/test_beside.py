"""Rollouts side by side in a browser: where they part, what they teach, and any two episodes."""

import pytest
from screens import EQUAL, GROUP

pytestmark = [pytest.mark.slow]


def test_marks_are_reached_by_keys_and_stand_in_the_address(page, address):
    page.goto(f"/run/demo/group/{GROUP}")
    page.locator(".did").first.wait_for()
    told = page.request.get(f"{address}/api/runs/demo/groups/{GROUP}").json()
    marks = [
        row for row, each in enumerate(told["rows"]) if row == told["diverge"] or each["rejoins"]
    ]
    for key, row in [("n", marks[0]), ("n", marks[1]), ("N", marks[0]), ("N", marks[-1])]:
        page.keyboard.press(key)
        page.wait_for_url(f"**row={row}")
    page.locator(".here", has_text=str(marks[-1])).wait_for()


def test_the_first_column_and_the_head_stay_where_they_are(page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"/run/demo/group/{GROUP}")
    page.locator(".did").first.wait_for()
    page.locator(".aligned .windowed").evaluate(
        "each => { each.scrollLeft = 400; each.scrollTop = 300; }"
    )
    left = page.locator(".aligned [role=rowheader]").first.bounding_box()
    head = page.locator(".aligned-row.head").bounding_box()
    box = page.locator(".aligned .windowed").bounding_box()
    assert left["x"] == box["x"]
    assert abs(head["y"] - box["y"]) <= 2
    assert head["height"] < 60, "the head is a line, below which the rows begin"


def test_a_group_that_teaches_nothing_says_why(page):
    page.goto(f"/run/demo/group/{EQUAL}")
    note = page.get_by_role("note")
    note.get_by_text("zero variance").wait_for()
    assert "nothing is learnt here" in note.inner_text()
    page.get_by_role("button", name="1 step in which all did the same").click()
    page.get_by_role("rowheader", name="0").wait_for()


def test_a_difference_of_estimators_leads_to_its_largest_step(page, address):
    page.goto(f"/run/demo/group/{GROUP}?minus=grpo")
    link = page.get_by_role("note").get_by_role("link")
    link.wait_for()
    found = page.request.get(f"{address}/api/runs/demo/groups/{GROUP}?minus=grpo").json()
    most = max(abs(each or 0) for steps in found["credit"]["steps"].values() for each in steps)
    turn = int(link.get_attribute("href").partition("turn=")[2])
    episode = link.get_attribute("href").split("/")[-1].partition("?")[0]
    assert abs(found["credit"]["steps"][episode][turn]) == most


# Numbers of the map that lie on other numbers, or on the circle of another state.
OVERLAPPING = """() => {
    const texts = [...document.querySelectorAll(".node-text text")];
    const marks = [...document.querySelectorAll(".map .node circle:first-of-type")];
    const box = (each) => each.getBoundingClientRect();
    const meet = (a, b) =>
        a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    return texts.flatMap((text, at) => {
        const own = Math.floor(at / 2);
        const others = [
            ...texts.filter((_, other) => other > at),
            ...marks.filter((_, mark) => mark !== own),
        ];
        return others.filter((other) => meet(box(text), box(other))).map(() => text.textContent);
    });
}"""


def test_a_state_shows_its_turns_and_an_action_what_was_said(page, address):
    page.goto(f"/run/demo/group/{GROUP}?view=map")
    page.locator(".node-text").first.wait_for()
    assert page.evaluate(OVERLAPPING) == []
    states = page.request.get(f"{address}/api/runs/demo/groups/{GROUP}/states").json()
    parting = next(each["id"] for each in states["nodes"] if (each["parts"] or 0) >= 0.5)
    page.locator(f"#node-{parting}").click()
    turns = page.get_by_label("turns side by side").get_by_role("listitem")
    turns.first.get_by_text("rollout").wait_for()
    visits = sum(each["count"] for each in states["edges"] if each["from"] == parting)
    assert turns.count() == min(visits, 24)
    assert page.locator(".map .node.parting").count() == sum(
        (each["parts"] or 0) >= 0.5 for each in states["nodes"]
    )
    page.locator(".edge-group").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**edge=0**")
    page.wait_for_function(
        "count => document.querySelectorAll('.turn-columns li').length === count",
        arg=states["edges"][0]["count"],
    )
    assert turns.first.locator("pre").inner_text() == states["edges"][0]["action"]


def test_two_cells_of_the_matrix_are_laid_side_by_side(page):
    page.goto("/compare/demo/demo?view=matrix")
    cells = page.locator(".matrix-row:not(.head)").first.locator(".matrix-cell")
    cells.first.wait_for()
    cells.nth(0).click()
    cells.nth(1).click()
    beside = page.get_by_label("two episodes side by side")
    beside.get_by_role("columnheader", name="eval-sampled-000000").wait_for()
    assert beside.get_by_role("columnheader").count() == 3
    for key, name, place in [("j", "second", 1), ("k", "second", 0), ("J", "first", 1)]:
        page.keyboard.press(key)
        stepper = beside.get_by_role("group", name=f"{name} episode")
        stepper.get_by_text(f"{place + 1} of").wait_for()
        assert cells.nth(int(name == "second")).get_attribute("aria-pressed") == "true"
    beside.get_by_role("columnheader").nth(1).locator(f"a[title$='.{place}.0']").wait_for()
    page.get_by_role("button", name="only what changed").click()
    shown = page.locator(".matrix-row:not(.head)").first.locator(".matrix-cell").all_inner_texts()
    assert len(set(shown)) > 1
    page.keyboard.press("q")
    beside.wait_for(state="detached")


def test_chosen_runs_lie_over_each_other_and_scales_change(page):
    page.goto("/")
    for name in ("demo", "trained"):
        page.get_by_role("checkbox", name=f"choose {name}").check()
    page.keyboard.press("o")
    page.wait_for_url("**/run/demo?with=trained")
    page.locator(".curve-runs", has_text="trained").wait_for()
    page.keyboard.press("l")
    page.wait_for_url("**scale=log**")
    page.keyboard.press("s")
    page.wait_for_url("**smooth=5**")
    page.locator(".curve .raw").first.wait_for(state="attached")
    page.get_by_role("button", name="only demo").click()
    page.locator(".curve-runs").wait_for(state="detached")
