"""An episode is played on from one of its turns, in a browser: by samples, and by hand."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym.store.episodes import read_episode, read_heads

pytestmark = [pytest.mark.slow]

EPISODE = "run-test-000.0.0"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes of KeyDoor, played at random."""
    root = tmp_path_factory.mktemp("forked") / "run"
    words = ["agentgym/KeyDoor-v0", "-m", "scripted:random", "-n", "2", "-o", str(root)]
    command = [sys.executable, "-m", "agentgym", "run", *words, "env.max_turns=9"]
    subprocess.run(command, check=True, capture_output=True)
    return root


@pytest.fixture(scope="module")
def address(run: Path, view: Any) -> Iterator[str]:
    """Where the run is shown."""
    with view(run, run.parent / "cache") as url:
        yield url


def test_samples_go_on_from_a_turn_and_are_linked_both_ways(page, run):
    page.goto(f"/run/run/episode/{EPISODE}?turn=2")
    page.get_by_role("button", name="fork from turn 2").wait_for()
    page.keyboard.press("f")
    panel = page.get_by_label("fork", exact=True)
    panel.get_by_label("samples", exact=True).fill("3")
    panel.get_by_label("policy").select_option("scripted")
    panel.get_by_role("button", name="play").click()
    panel.get_by_text("finished, 3 of 3 episodes").wait_for()
    group = panel.get_by_role("link", name="side by side").get_attribute("href").split("/")[-1]
    panel.get_by_role("link", name="side by side").click()
    page.get_by_role("columnheader", name="parent").wait_for()
    assert page.get_by_role("columnheader").count() == 5
    began = page.locator(".aligned-row.began")
    assert began.get_by_role("cell").get_by_role("link", name="2", exact=True).count() > 0
    page.locator(".facts").get_by_role("link", name=EPISODE).click()
    page.wait_for_url(f"**/episode/{EPISODE}?turn=2")
    page.locator(".facts .forks").get_by_text("turn 2").wait_for()
    page.locator(".facts .forks a").first.click()
    page.locator(".facts").get_by_role("link", name=EPISODE).wait_for()
    assert page.url.partition("/episode/")[2].startswith(f"{group}.0.0")
    page.locator(".facts").get_by_role("link", name=EPISODE).click()
    page.wait_for_url(f"**/episode/{EPISODE}?turn=2")
    children = [read_episode(head) for head in read_heads(run) if head.group_id == group]
    assert {(child.parent_id, child.fork_step) for child in children} == {(EPISODE, 2)}


def test_a_person_goes_on_message_by_message_and_leaves(page, run):
    page.goto(f"/run/run/episode/{EPISODE}?turn=1&fork=1")
    panel = page.get_by_label("fork", exact=True)
    panel.get_by_role("button", name="by hand").click()
    panel.get_by_role("button", name="begin").click()
    panel.get_by_label("the message of turn 1").fill("<b>sideways</b>")
    panel.get_by_role("button", name="say").click()
    panel.get_by_label("the message of turn 2").wait_for()
    assert panel.get_by_text("<b>sideways</b>").count() == 1
    assert panel.get_by_text("unknown").count() == 1
    panel.get_by_label("the message of turn 2").fill("up")
    page.keyboard.press("Control+Enter")
    panel.get_by_label("the message of turn 3").wait_for()
    panel.get_by_role("button", name="leave").click()
    panel.locator(".told-fork").last.get_by_text("finished").wait_for()
    children = [read_episode(head) for head in read_heads(run) if head.fork_step == 1]
    (child,) = [each for each in children if each.policy == "person"]
    assert [step.message.content for step in child.steps[1:]] == ["<b>sideways</b>", "up"]
    assert (child.end, child.reason) == ("truncated", "quit")


def test_an_error_of_a_fork_says_what_to_do(page, run):
    config = run / "config.toml"
    whole = config.read_text()
    config.write_text(whole.replace("rules = true", "rules = false"))
    try:
        page.goto(f"/run/run/episode/{EPISODE}?turn=1&fork=1")
        panel = page.get_by_label("fork", exact=True)
        panel.get_by_label("policy").select_option("scripted:random")
        panel.get_by_role("button", name="play").click()
        panel.get_by_text("went otherwise when it was played again").wait_for()
        panel.get_by_text("agentgym check agentgym/KeyDoor-v0").wait_for()
    finally:
        config.write_text(whole)


def test_who_has_not_the_address_that_was_printed_may_only_read(page, address):
    page.goto("/run/run")
    token = page.evaluate("localStorage.token")
    page.evaluate("localStorage.token = 'of a server that was here before'")
    page.goto(f"/run/run/episode/{EPISODE}?turn=2&fork=1")
    panel = page.get_by_label("fork", exact=True)
    panel.get_by_text("open the address that").wait_for()
    assert panel.get_by_role("button").count() == 0
    page.keyboard.press("+")
    page.locator("header").get_by_text("this page may only read: open the address").wait_for()
    # An address that differs by its fragment alone: the page itself loads everything anew.
    page.goto(f"/run/run/episode/{EPISODE}?turn=2&fork=1#token={token}")
    panel.get_by_role("button", name="play").wait_for()
    assert page.url == f"{address}/run/run/episode/{EPISODE}?turn=2&fork=1"
