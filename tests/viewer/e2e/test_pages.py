"""The pages in a browser, as people use them: with links, keys and addresses."""

import pytest

pytestmark = [pytest.mark.slow]

EPISODE = "train-000004-001.0.0"
LONG = "train-000002-000.1.0"


def test_from_the_runs_to_an_episode(page):
    page.goto("/")
    page.get_by_role("link", name="demo").click()
    page.get_by_role("button", name="episodes").click()
    page.get_by_role("searchbox", name="filter").fill("step=5 outcome=0")
    page.get_by_role("searchbox", name="filter").press("Enter")
    page.get_by_role("link", name=EPISODE).click()
    page.get_by_text("I am certain.").first.wait_for()
    assert page.url.endswith(f"/run/demo/episode/{EPISODE}")
    assert page.title() == f"{EPISODE} · demo · agentgym"
    page.go_back()
    assert page.get_by_role("searchbox", name="filter").input_value() == "step=5 outcome=0"


def test_a_filter_that_says_nothing_is_told_where(page):
    page.goto("/run/demo?view=episodes&where=outcme%3E0")
    alert = page.get_by_role("alert")
    alert.get_by_text("unknown key 'outcme'").wait_for()
    assert alert.locator("mark").inner_text().startswith("outcme")


@pytest.mark.parametrize("view", ["curves", "groups", "episodes", "record"])
def test_every_view_of_a_run_shows_something(page, view):
    page.goto(f"/run/demo?view={view}")
    expected = {
        "curves": "zero_variance_groups",
        "groups": "eval-sampled-000000-000",
        "episodes": "eval-sampled-000000-000.0.0",
        "record": "EngineError: the engine died: CUDA error: <out of memory>",
    }
    page.get_by_text(expected[view]).first.wait_for()


def test_groups_whose_rewards_are_the_same_are_hatched(page):
    page.goto("/run/demo?view=groups&step=5")
    page.locator(".group-row .cell").first.wait_for()
    hatched = page.locator(".group-row .hatched")
    assert hatched.count() == 1
    assert len({each.inner_text() for each in hatched.locator(".cell").all()}) == 1


def test_keys_move_through_turns_and_the_address_follows(page):
    page.goto(f"/run/demo/episode/{LONG}?turn=0")
    page.locator(".step-row.here").wait_for()
    for expected in (1, 2):
        page.keyboard.press("j")
        page.wait_for_url(f"**turn={expected}")
    page.keyboard.press("k")
    page.wait_for_url("**turn=1")
    assert page.locator(".step-row.here button").inner_text() == "1"


def test_tokens_have_the_numbers_of_the_record(page, address):
    page.goto(f"/run/demo/episode/{EPISODE}?view=tokens&turn=0&token=2")
    page.locator(".t.chosen", has_text="certain").wait_for()
    facts = page.request.get(f"{address}/api/runs/demo/episodes/{EPISODE}").json()
    shown = page.locator(".pairs").inner_text()
    assert f"{facts['steps'][0]['advantage']:.4f}" in shown
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**token=3")
    page.get_by_role("button", name="logprob").click()
    assert "colour=logprob" in page.url


def test_the_search_finds_what_is_not_on_the_screen(page):
    page.goto(f"/run/demo/episode/{EPISODE}")
    page.get_by_text("I am certain.").first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("CERTAIN")
    page.get_by_text("1 of 3 matches").wait_for()
    assert page.locator("mark.current").inner_text() == "certain"


def test_what_is_looked_for_stands_in_the_address_and_comes_back(page):
    page.goto(f"/run/demo/episode/{EPISODE}")
    page.get_by_role("searchbox", name="find in the episode").fill("CERTAIN")
    page.wait_for_url("**find=CERTAIN")
    page.reload()
    page.get_by_text("1 of 3 matches").wait_for()
    page.goto("/run/demo?view=episodes")
    page.locator(".episode-row a").first.wait_for()
    field = page.get_by_role("searchbox", name="search what was said")
    field.fill("certain")
    field.press("Enter")
    page.get_by_label("episodes with these words").wait_for()
    page.get_by_role("button", name="keys", exact=True).click()
    help_sheet = page.get_by_role("complementary", name="keys")
    assert help_sheet.get_by_text("label it good").count() == 0, "no row is there to be labelled"
    page.go_back()
    page.locator(".episode-row a").first.wait_for()
    assert field.input_value() == ""
    help_sheet.get_by_text("label it good").wait_for()


def test_the_theme_is_kept(page):
    page.goto("/")
    page.get_by_role("button", name="dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    page.get_by_role("link", name="demo").wait_for()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    page.get_by_role("button", name="light").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize(
    "target",
    ["/", "/run/demo", "/run/demo?view=groups", "/run/demo?view=episodes", "/run/demo?view=record",
     f"/run/demo/episode/{LONG}", f"/run/demo/episode/{LONG}?view=tokens", f"/run/demo/episode/{LONG}?view=steps"],
)  # fmt: skip
def test_no_page_is_wider_than_the_window(page, target, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(target)
    page.locator("main > *").first.wait_for()
    page.wait_for_load_state("load")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("view", ["messages", "tokens"])
def test_the_last_turn_is_reached_by_its_address(page, address, view):
    facts = page.request.get(f"{address}/api/runs/demo/episodes/{LONG}?parts=none").json()
    last = len(facts["steps"]) - 1
    page.set_viewport_size({"width": 1280, "height": 300})
    page.goto(f"/run/demo/episode/{LONG}?view={view}&turn={last}")
    page.locator(".message .turn", has_text=str(last)).wait_for()
    place = page.evaluate(
        """(last) => {
            const list = document.querySelector(".message").closest(".windowed");
            const turn = [...list.querySelectorAll(".turn")].find((each) => each.textContent === last);
            return turn.getBoundingClientRect().top - list.getBoundingClientRect().top;
        }""",
        str(last),
    )
    assert -1 <= place < 300


def test_heights_do_not_depend_on_what_else_is_in_the_window(page):
    """Else a list measures in circles, and the page stands still."""
    page.goto(f"/run/demo/episode/{LONG}")
    page.locator(".message.head").nth(2).wait_for()
    heights = page.evaluate(
        """() => {
            const item = document.querySelectorAll(".item")[2];
            const before = item.offsetHeight;
            item.parentElement.prepend(item);
            return [before, item.offsetHeight];
        }"""
    )
    assert heights[0] == heights[1]


def test_what_was_asked_for_an_episode_is_given_up_with_it(page):
    group = EPISODE.rsplit(".", 2)[0]
    held: list[str] = []
    page.route("**/tags", lambda route: held.append(route.request.url))  # and is never answered
    with page.expect_request("**/tags"):
        page.goto(f"/run/demo/episode/{group}.0.0")
    page.locator(".siblings a").nth(1).wait_for()
    with page.expect_event("requestfailed", lambda each: each.url == held[0]):
        page.keyboard.press("J")
    page.locator(".siblings [aria-current]", has_text="1").wait_for()
    page.unroute("**/tags")
    with page.expect_response(lambda each: each.url.endswith(f"{group}.2.0/tags")):
        page.keyboard.press("J")
