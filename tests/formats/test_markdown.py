import io

from drawn_episodes import trajectories
from hypothesis import given, settings, strategies as st

from agentgym.formats.markdown import MarkdownWriter, code, fenced, to_markdown
from agentgym.types import Message, Step, Task, ToolCall, Trajectory


def test_an_episode_reads_as_a_chapter() -> None:
    step = Step(
        message=Message("assistant", "I add.", (ToolCall("add", '{"x": 1}', id="c"),)),
        replies=(Message("tool", "```\n<b>", tool_call_id="c"),),
        reward_terms={"outcome": 1.0, "format": 0.0},
    )
    episode = Trajectory(
        id="a", task=Task("Add.", id="t", env="e"), group_id="g", steps=[step], end="terminated"
    )
    assert to_markdown(episode) == (
        "# Episode `a`\n\n- environment: `e`\n- task: `t`\n- ended: `terminated`\n"
        "- outcome: `1`\n- turns: `1`\n- sampled tokens: `0`\n\n"
        "## Turn 1 · `outcome` +1\n\n**assistant**\n\n```\nI add.\n```\n\ncalls `add`\n\n"
        '```json\n{"x": 1}\n```\n\n**tool**\n\n````\n```\n<b>\n````\n\n'
    )
    step.reward_terms = {}
    assert "- outcome: `not recorded`" in to_markdown(episode)


@given(st.text(alphabet="`~a\n #<", max_size=30))
def test_nothing_gets_out_of_its_fence(text: str) -> None:
    opened, *inside, closed = fenced(text).split("\n")
    assert opened == closed
    assert all(set(line.strip()) != {"`"} or len(line.strip()) < len(closed) for line in inside)
    assert "\n" not in code(text)
    ticks = len(code(text)) - len(code(text).lstrip("`"))
    assert "`" * ticks not in code(text)[ticks:-ticks]


@given(st.text(alphabet="\x1b\x9b\r\n\x00\u202e\u2028\ud800`ab", max_size=20))
def test_nothing_in_it_commands_a_terminal(text: str) -> None:
    for written in (code(text), fenced(text), fenced("x\r\ny")):
        assert set(written) <= set("`abcdefux0123456789\\ny \nr")
    assert fenced("\x1b[2Ja\tb") == "```\n\\x1b[2Ja\tb\n```"
    assert code("\u202e") == "`\\u202e`"


@settings(max_examples=20)
@given(trajectories())
def test_whatever_is_in_an_episode_no_line_outside_of_fences_is_of_the_model(
    episode: Trajectory,
) -> None:
    file = io.BytesIO()
    assert MarkdownWriter(file).add(episode) is None
    assert file.getvalue().decode() == to_markdown(episode)
    fence = ""
    for line in file.getvalue().decode().split("\n"):
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line.rstrip("json")
        else:
            assert not line or line.startswith(("# Episode ", "- ", "## Turn", "**", "calls "))
    assert fence == ""
