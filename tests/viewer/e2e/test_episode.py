"""One episode in a browser: its timeline, its ledger, what was drawn of it, other estimators."""

import time

import pytest

pytestmark = [pytest.mark.slow]

REPAIR = "/run/demo/episode/train-000002-003.2.0"
LONG = "/run/demo/episode/train-000002-000.1.0"


def test_panels_of_all_kinds_follow_the_turn(page):
    page.goto(f"{REPAIR}?turn=0")
    panels = page.get_by_label("what the environment drew")
    panels.get_by_text("Nothing changed.").wait_for()
    page.keyboard.press("]")
    panels.locator(".diff-line.gone", has_text="return sum(x) + 1").wait_for()
    assert panels.locator(".diff-line.new .sign").inner_text() == "+"
    assert panels.locator(".terminal").count() == 0
    page.keyboard.press("]")
    assert panels.locator(".terminal .ansi-green").first.inner_text() == "PASSED"
    assert panels.get_by_role("cell", name="yes").count() == 3
    page.goto(f"{LONG}?turn=3")
    panels.locator(".drawn-grid").wait_for()
    assert panels.locator(".drawn-grid td").count() == 16
    assert panels.locator(".drawn-grid td[title=you]").count() == 1


def test_the_ledger_is_that_of_the_server_and_leads_to_the_turn(page, address):
    page.goto(f"{REPAIR}?turn=0")
    ledger = page.get_by_role("table", name="reward ledger")
    ledger.get_by_role("row", name="tool_valid").wait_for()
    path = REPAIR.replace("/run/demo/episode", "/api/runs/demo/episodes")
    told = page.request.get(f"{address}{path}/ledger").json()["ledger"]
    rows = ledger.get_by_role("row")
    shown = {row.split("\n")[0]: row.split("\n")[-1] for row in rows.all_inner_texts()}
    for term in told["terms"]:
        if term["total"]:
            value = float(shown[term["term"]].replace("\u2212", "-"))
            assert value == pytest.approx(term["total"], abs=6e-4)
    assert float(shown["reward"]) == pytest.approx(told["total"], abs=6e-3)
    ledger.get_by_label("turn 3, outcome: counted; given 1, paid 1").click()
    page.wait_for_url("**turn=3")
    page.get_by_label("what the turn was answered").get_by_text("accepted").wait_for()


def test_another_shaping_makes_another_ledger(page):
    page.goto(f"{REPAIR}?turn=3&shaping=off")
    ledger = page.get_by_role("table", name="reward ledger")
    ledger.get_by_label("turn 3, tests: unused").wait_for()
    assert ledger.get_by_role("row", name="reward").inner_text().endswith("+1")


def test_an_episode_is_played_and_stops_at_its_end(page):
    page.goto(f"{LONG}?speed=32")
    page.locator(".step-row").nth(1).wait_for()
    turns = page.evaluate("performance.getEntriesByType('navigation').length")
    assert turns == 1
    assert "turn=" not in page.url  # nothing moves unless it is asked
    page.keyboard.press("Space")
    page.get_by_text("turn 11 of 12").wait_for()
    page.wait_for_url("**turn=11")
    page.get_by_role("button", name="play", exact=True).wait_for()
    page.keyboard.press("<")
    page.wait_for_url("**speed=16**")
    slider = page.get_by_role("slider", name="turn")
    slider.focus()
    slider.press("Home")
    page.wait_for_url("**turn=0")
    page.locator(".step-row.here", has_text="0").wait_for()


def test_real_time_waits_as_long_as_was_recorded(page, address):
    page.goto(f"{LONG}?wait=1&speed=0.5&turn=0")
    target = f"{address}/api/runs/demo/episodes/{LONG.rpartition('/')[2]}"
    recorded = page.request.get(target).json()["seconds"]
    began = time.monotonic()
    page.get_by_role("button", name="play", exact=True).click()
    page.get_by_text("turn 11 of 12").wait_for()
    # At half speed, and the last turn begins before its end.
    assert time.monotonic() - began > recorded
    page.get_by_label("skip waiting").check()
    assert "wait" not in page.url


def test_colours_and_numbers_are_those_of_the_estimator_that_is_asked(page, address):
    page.goto(f"{REPAIR}?turn=1&view=tokens&token=2&colour=advantage")
    page.locator(".t.chosen").wait_for()
    page.get_by_label("credit", exact=True).fill("gigpo")
    page.get_by_label("credit", exact=True).press("Enter")
    page.get_by_text("shown: gigpo", exact=True).wait_for()
    page.get_by_label("less").fill("grpo")
    page.get_by_label("less").press("Enter")
    page.get_by_text("shown: gigpo - grpo").wait_for()
    assert "credit=gigpo" in page.url
    assert "minus=grpo" in page.url
    query = "group=train-000002-003&credit=gigpo&minus=grpo"
    lens = page.request.get(f"{address}/api/runs/demo/lens?{query}").json()
    given = lens["steps"]["train-000002-003.2.0"]
    page.locator(".legend", has_text=f"{lens['most']:.3}").wait_for()
    rows = page.locator(".step-row:not(.head)").all()
    for row, value in zip(rows, given, strict=True):
        shown = row.locator(".shade").last.inner_text().replace("\u2212", "-")
        assert float(shown) == pytest.approx(value, abs=5e-3)
    facts = page.locator(".pairs").inner_text().replace("\u2212", "-")
    assert f"{given[1]:.4f}" in facts
    page.get_by_role("button", name="messages").click()
    first = page.locator(".gutter .shade").first.inner_text().replace("\u2212", "-")
    assert float(first) == pytest.approx(given[0], abs=5e-3)


def test_what_is_typed_stays_when_an_answer_comes_meanwhile(page):
    held = []
    page.route("**/lens?*", lambda route: held.append(route), times=1)
    with page.expect_request("**/lens?*"):
        page.goto(f"{REPAIR}?turn=1")
    page.get_by_label("credit", exact=True).fill("gigpo")
    held[0].continue_()
    page.locator("#estimators option[value=gigpo]").wait_for(state="attached")
    assert page.get_by_label("credit", exact=True).input_value() == "gigpo"
    page.get_by_label("credit", exact=True).press("Enter")
    page.get_by_text("shown: gigpo", exact=True).wait_for()


def test_an_estimator_that_cannot_be_asked_is_told(page):
    page.goto(f"{REPAIR}?turn=1&credit=nonsense")
    page.get_by_role("alert").get_by_text("nonsense").wait_for()


def test_tokens_that_their_text_would_not_give_are_marked(page, address):
    name = "train-000004-005.5.0"  # a page that spells a token of the template in letters
    with page.expect_response("**/lens?*"):  # the last to come: nothing else draws tokens anew
        page.goto(f"/run/demo/episode/{name}?turn=0&view=tokens")
    page.locator(".t").first.wait_for()
    assert page.locator(".t.drift").count() == 0
    page.get_by_role("button", name="truth").click()
    page.locator(".t.drift").first.wait_for()
    told = page.request.get(f"{address}/api/runs/demo/episodes/{name}/truth").json()["truth"]
    assert page.locator(".t.drift").count() == sum(each is not None for each in told)
    page.locator(".t.drift").first.hover()
    page.get_by_text("its text would be tokenised as 1").first.wait_for()
    assert page.locator(".t.mask-wrong").count() == 0


def test_weights_that_changed_within_a_message_are_shown_at_their_token(page, address):
    query = 'where=tag="switched"&limit=1'
    (line,) = page.request.get(f"{address}/api/runs/demo/episodes?{query}").json()["rows"]
    shown = page.request.get(f"{address}/api/runs/demo/episodes/{line['id']}").json()
    step = next(each for each in shown["steps"] if len(each["versions"]) > 1)
    token, version = step["versions"][1]
    page.goto(f"/run/demo/episode/{line['id']}?turn={step['index']}&view=tokens")
    swapped = page.locator(".t.swap").first
    swapped.wait_for()
    assert int(swapped.get_attribute("data-place")) == step["tokens"][0] + token
    assert page.locator(".step-row.here .swap").inner_text().endswith(f"→{version}")


def test_a_hostile_terminal_is_shown_as_text(page):
    page.goto("/run/demo/episode/train-000000-005.0.0?turn=2")
    terminal = page.get_by_role("region", name="terminal output")
    terminal.get_by_text("<script>alert('page')</script>").wait_for()
    assert terminal.locator("script, img, a, iframe, svg").count() == 0
    page.goto("/run/demo/episode/train-000001-005.1.0?turn=2")
    assert terminal.locator(".ansi-red").inner_text() == "red"
    assert "\x1b" not in terminal.inner_text()


def test_less_motion_is_drawn_less_often_and_ends_at_the_same_turn(page):
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{LONG}?speed=32&turn=0")
    page.locator(".step-row.here").wait_for()
    page.evaluate(
        """() => {
          window.seen = new Set();
          const word = document.querySelector('.player .num');
          new MutationObserver(() => window.seen.add(word.textContent))
            .observe(word, { subtree: true, characterData: true, childList: true });
        }"""
    )
    page.keyboard.press("Space")
    page.get_by_text("turn 11 of 12").wait_for()
    assert page.evaluate("window.seen.size") <= 3


def test_tokens_are_coloured_by_how_old_their_policy_was(page):
    page.goto("/run/trained/episode/train-000002-001.0.0?view=tokens&turn=0&token=0")
    page.locator(".t.chosen").wait_for()
    page.get_by_role("button", name="staleness").click()
    page.locator(".t.chosen.s7").wait_for()
    assert "colour=staleness" in page.url
    assert "staleness\n2" in page.locator(".pairs").inner_text()
    given = page.locator(".t.s7").count(), page.locator(".t.s0").count()
    assert given == (2, 2 * (page.locator(".gutter .turn").count() - 1))
