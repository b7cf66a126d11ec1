"""Every key of every help sheet does something, and says what."""

import pytest
from screens import SCREENS

pytestmark = [pytest.mark.slow]

STATE = """() => {
  const at = document.activeElement, main = document.querySelector('main');
  const pressed = [...main.querySelectorAll('[aria-pressed=true]')].map(each => each.innerText);
  const here = [...main.querySelectorAll('[class*=here], [aria-selected=true]')].map(
    each => each.textContent);
  const checked = [...main.querySelectorAll('input')].map(each => each.checked);
  const seen = [location.href, at.tagName, at.id, at.textContent.slice(0, 40), pressed, here,
    checked, document.querySelectorAll('.help').length, main.innerText.length].join('|');
  return [seen, document.querySelector('.told').textContent];
}"""
BACK = """async home => {
  history.replaceState(null, '', home);
  dispatchEvent(new PopStateEvent('popstate'));
  await new Promise(done => setTimeout(done, 100)); // what the last key opened takes the focus
  document.activeElement.blur();
}"""
CHANGED = """async ([state, patience]) => {
  const read = STATE, end = performance.now() + patience;
  while (performance.now() < end) {
    const [seen, told] = read();
    if (seen !== state[0] || (told && told !== state[1])) return true;
    await new Promise(done => setTimeout(done, 20));
  }
  return false;
}""".replace("STATE", STATE)
READY = {
    "episodes": ".episode-row a", "groups": ".group-row a", "group": ".did", "equal group": ".did",
    "map": ".node", "matrix": ".matrix-cell", "compare": ".pair", "tokens": ".t",
    "messages": ".message", "steps": ".message", "runs": ".lines a", "curves": ".curve",
}  # fmt: skip
# What a key needs before it can do something, and keys that choose what is chosen at first.
BEFORE = {("runs", "x"): "j", ("episodes", "k"): "jj"}
LABELS = {"+", "=", "-", "u", "0", "Backspace"}
BEFORE |= {("episodes", key): "j" for key in LABELS}
LABELLED = {"episodes", "messages", "tokens", "steps"}
CHOSEN = {
    "curves": "1", "groups": "2", "episodes": "3", "record": "4", "group": "d", "equal group": "d",
    "map": "m", "compare": "1", "matrix": "2", "messages": "m", "tokens": "t", "steps": "s",
}  # fmt: skip


@pytest.mark.parametrize("name", [each for each in SCREENS if each != "curves of two runs"])
def test_every_key_of_the_sheet_does_something(page, name):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(SCREENS[name])
    page.locator(READY.get(name, "main > * > *")).first.wait_for()
    page.keyboard.press("?")
    sheet = page.get_by_role("complementary", name="keys")
    keys = sheet.locator("kbd").all_inner_texts()
    assert {"c", "?", "Escape"} <= set(keys)
    assert all(sheet.locator("dd").all_inner_texts())
    page.keyboard.press("Escape")
    sheet.wait_for(state="detached")
    dead = [key for key in keys if not does_something(page, name, key)]
    assert [key for key in dead if key != CHOSEN.get(name)] == []


def does_something(page, name: str, key: str) -> bool:
    if (name, key) in BEFORE:
        page.goto(SCREENS[name])  # where no row is chosen
    else:
        page.evaluate(BACK, SCREENS[name])
    page.locator(READY.get(name, "main > * > *")).first.wait_for()
    if key == "Escape" and not page.locator(".help").count():
        page.keyboard.press("?")
    if key == "Escape":
        page.locator(".help").wait_for()
    for before in BEFORE.get((name, key), ""):
        page.keyboard.press(before)
    if (
        name in LABELLED and key in LABELS
    ):  # two of them may say the same: what counts is the answer
        with page.expect_response("**/labels") as answer:
            page.keyboard.press(key)
        return answer.value.ok
    state = page.evaluate(STATE)
    page.keyboard.press({"Space": " "}.get(key, key))
    patience = 200 if key == CHOSEN.get(name) else 20_000
    return page.evaluate(CHANGED, [state, patience])
