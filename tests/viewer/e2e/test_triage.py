"""Going through episodes: labels of one key, notes, filters of one click, words."""

import re

import pytest

pytestmark = [pytest.mark.slow]

GROUP = "train-000003-002"
EPISODE = f"{GROUP}.1.0"


def labels(page, address: str, episode: str = EPISODE) -> tuple[str | None, str]:
    found = page.request.get(f"{address}/api/runs/demo/episodes/{episode}").json()
    return found["label"], found["notes"][-1]["text"] if found["notes"] else ""


def test_one_key_labels_an_episode_and_another_takes_it_away(page, address):
    page.goto(f"/run/demo/episode/{EPISODE}")
    page.locator(".split").wait_for()
    for key, label in [("+", "good"), ("-", "bad"), ("u", "unsure")]:
        page.keyboard.press(key)
        page.get_by_text(f"labelled {label}").wait_for()
        assert labels(page, address)[0] == label
        shown = page.get_by_role("group", name="label").locator("[aria-pressed=true]")
        assert shown.all_inner_texts() == [label]
    page.keyboard.press("n")
    page.keyboard.type("<b>it hides</b> the error 0")
    page.keyboard.press("Enter")
    page.get_by_text("labelled unsure, with its note").wait_for()
    assert labels(page, address) == ("unsure", "<b>it hides</b> the error 0")
    page.keyboard.press("-")
    page.get_by_text("labelled bad").wait_for()
    assert labels(page, address) == ("bad", "<b>it hides</b> the error 0")
    page.keyboard.press("g")
    head = page.locator(".aligned-row.head [role=columnheader]", has_text="bad")
    head.wait_for()
    assert head.locator("a").get_attribute("title") == EPISODE
    page.goto("/run/demo?view=episodes")
    page.get_by_role("group", name="ready filters").get_by_role("button", name="bad 1").click()
    row = page.locator(".episode-row:not(.head)")
    row.get_by_text(EPISODE).wait_for()
    assert row.count() == 1
    page.keyboard.press("j")
    page.keyboard.press("Backspace")
    page.get_by_text(
        "labelled noted"
    ).wait_for()  # the note stays, though the list does not show it
    assert labels(page, address) == ("noted", "<b>it hides</b> the error 0")


def test_rows_of_the_list_are_labelled_where_the_keys_are(page, address):
    page.goto("/run/demo?view=episodes")
    page.locator(".episode-row a").first.wait_for()
    names = page.locator(".episode-row a").all_inner_texts()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("=")
    row = page.locator(".episode-row.here")
    row.get_by_text("good").wait_for()
    assert row.locator("a").inner_text() == names[1]
    assert labels(page, address, names[1])[0] == "good"
    page.keyboard.press("0")
    page.get_by_text("taken away").wait_for()
    page.keyboard.press("o")
    page.wait_for_url(f"**/episode/{names[1]}")


def test_a_tripwire_is_a_filter_of_one_click_with_its_count(page):
    page.goto("/run/demo?view=episodes")
    chip = page.locator(".chip.bad").first
    chip.wait_for()
    name, count = chip.inner_text().split()
    chip.click()
    page.get_by_role("status").filter(has_text=re.compile(rf"^{count} episode")).wait_for()
    assert page.url.endswith(f"where=tag%3D{name}")
    page.get_by_label("name of this filter").fill("look <i>here</i>")
    page.get_by_label("name of this filter").press("Enter")
    page.goto("/run/demo?view=episodes")
    page.get_by_role("button", name="look <i>here</i>", exact=True).click()
    page.wait_for_url(f"**where=tag%3D{name}")
    page.get_by_role("button", name="forget look <i>here</i>").click()
    assert page.locator(".saved").count() == 0


def test_words_are_found_and_marked_in_their_turn(page, address):
    asked = f"{address}/api/runs/demo/search?words=certain"
    while (done := page.request.get(asked).json()["worded"])["episodes"] < done["of_episodes"]:
        page.wait_for_timeout(50)
    page.goto("/run/demo?view=episodes")
    page.locator(".episode-row a").first.wait_for()
    page.keyboard.press("w")
    page.keyboard.type("i am certain")
    page.keyboard.press("Enter")
    hit = page.locator(".hit").first
    hit.wait_for()
    assert hit.locator("mark").inner_text().lower() == "i am certain"
    turn = hit.locator(".num").inner_text()
    hit.click()
    page.locator("mark.current").wait_for()
    assert page.locator("mark.current").inner_text().lower() == "i am certain"
    assert f"turn={turn}" in page.url
    assert page.locator(".message.here mark.current").count() == 1


def test_an_address_of_a_log_leads_to_its_turn(page, demo):
    page.goto("/")
    page.get_by_role("link", name="demo").first.wait_for()
    page.keyboard.press(":")
    field = page.get_by_label("go to", exact=True)
    field.fill("elsewhere#x")
    field.press("Enter")
    page.get_by_role("alert").get_by_text("the run elsewhere is not open here").wait_for()
    field.fill(f"{demo.parent.name}/demo#{EPISODE}/1/0")
    field.press("Enter")
    page.wait_for_url(f"**/episode/{EPISODE}?view=tokens&turn=1&token=0")
    page.locator(".t.chosen").wait_for()
    assert field.count() == 0
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("a")
    page.get_by_text("address copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"{demo}#{EPISODE}/1/0"
