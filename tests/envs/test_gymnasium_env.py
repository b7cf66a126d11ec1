import random
import sys
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import agentgym.gym
from agentgym.check import check_env
from agentgym.env import first_tasks
from agentgym.envs.gymnasium import GymnasiumConfig
from agentgym.envs.gymnasium.planning import best_actions
from agentgym.envs.gymnasium.spaces import actions_of, reader_of
from agentgym.envs.gymnasium.views import picture
from agentgym.errors import ConfigError, EnvError, MissingError, TaskError
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.replay import Replay, replay
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, Task, Trajectory

pytestmark = pytest.mark.slow

TAXI = next(name for name in sorted(gymnasium.registry) if name.startswith("Taxi-v"))
CLIFF = next(name for name in sorted(gymnasium.registry) if name.startswith("CliffWalking-v"))
MINIGRID = "minigrid:MiniGrid-DoorKey-5x5-v0"


class Strange(gymnasium.Env[Any, Any]):
    """Has the spaces that it is given, answers with samples, and raises where it is told to."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]
    alive: ClassVar[int] = 0

    def __init__(self, space: str, *, raises: bool = False) -> None:
        self.render_mode = None
        self.action_space, self.observation_space = SPACES[space], SPACES[space]
        self._raises = raises
        Strange.alive += 1

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        if self._raises:
            raise ValueError("out of order")
        assert action in self.action_space
        return action, 1.0, False, False, {}

    def close(self) -> None:
        Strange.alive -= 1


SPACES: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3, start=-1),
    "wide": spaces.Discrete(1000),
    "several": spaces.MultiDiscrete([3, 2]),
    "grid": spaces.MultiDiscrete(np.array([[2, 2], [2, 3]])),
    "binary": spaces.MultiBinary([2, 2]),
    "text": spaces.Text(5),
}


@pytest.fixture(autouse=True, scope="module")
def strange() -> Iterator[None]:
    gymnasium.register(id="tests/Strange-v0", entry_point=Strange)
    yield
    gymnasium.registry.pop("tests/Strange-v0")


def opened(task: int = 0, **settings: Any) -> tuple[Any, str]:
    config = GymnasiumConfig(**settings)
    env = config.build()
    reset = env.reset(first_tasks(config, "test", number=task + 1)[task], seed=0)
    return env, reset.messages[-1].content


def say(env: Any, *texts: str) -> Any:
    for text in texts:
        step = env.step(Message("assistant", text))
    return step


async def played(policy: str, *, number: int = 4, **settings: Any) -> list[Trajectory]:
    config = GymnasiumConfig(**settings)
    jobs = make_jobs(
        first_tasks(config, "test", number=number),
        group_size=1,
        run_seed=0,
        prefix="t",
        env=config.id,
    )
    return await collect(jobs, config=config, make_policy=scripted_policies(policy))


@pytest.mark.parametrize(
    "settings",
    [{}, {"env": TAXI}, {"env": "Blackjack-v1"}, {"env": MINIGRID}],
    ids=["FrozenLake", "Taxi", "Blackjack", "MiniGrid"],
)
async def test_it_passes_the_conformance_checks(settings: dict[str, Any]) -> None:
    if "minigrid" in settings.get("env", ""):
        pytest.importorskip("minigrid")
    report = await check_env(GymnasiumConfig, overrides={"max_turns": 20, **settings})
    assert report.ok, [result for result in report.results if result.status == "failed"]


@pytest.mark.parametrize(
    ("env", "least", "most"), [("FrozenLake-v1", 1, 1), (TAXI, 3, 15), (CLIFF, -13, -13)]
)
async def test_the_expert_plays_toy_text_perfectly(env: str, least: float, most: float) -> None:
    trajectories = await played("scripted", env=env, number=10)
    assert all(each.end == "terminated" for each in trajectories)
    assert all(least <= each.outcome <= most for each in trajectories)


async def test_the_expert_of_a_slippery_lake_is_as_good_as_its_theory() -> None:
    """Of 4x4, the best policy without a limit of time succeeds in 0.82 of all episodes."""
    lake = {"env": "FrozenLake-v1", "kwargs": {"is_slippery": True}}
    outcomes = [each.outcome for each in await played("scripted", number=200, **lake)]
    assert 0.64 < np.mean(outcomes) < 0.9


async def test_there_is_an_expert_only_where_the_dynamics_are_known() -> None:
    with pytest.raises(ConfigError, match="no scripted policy 'expert'"):
        await played("scripted", env="Blackjack-v1")


@pytest.mark.parametrize("env", ["FrozenLake-v1", TAXI, "Blackjack-v1", MINIGRID])
async def test_rewards_and_ends_are_those_of_the_environment_itself(env: str) -> None:
    if env == MINIGRID:
        pytest.importorskip("minigrid")
    kwargs = {"is_slippery": True} if env == "FrozenLake-v1" else {}
    for trajectory in await played("scripted:random", env=env, kwargs=kwargs, max_turns=30):
        native = gymnasium.make(env, **kwargs)
        parse = GymnasiumConfig(env=env, kwargs=kwargs).games().take().actions.parse
        native.reset(seed=trajectory.task.payload["seed"])
        for step in trajectory.steps:
            _, reward, terminated, truncated, _ = native.step(parse(step.message.content))
            assert step.reward_terms == {"outcome": float(reward), "valid": 1.0}
        assert (trajectory.end == "terminated") == terminated
        assert len(trajectory.steps) == 30 or terminated or truncated


async def test_an_episode_replays_in_an_instance_that_played_others_before() -> None:
    config = GymnasiumConfig(env=TAXI, max_turns=20)
    for trajectory in await played("scripted:random", env=TAXI, max_turns=20):
        assert await replay(trajectory, config) == Replay()


async def test_silence_costs_what_a_step_costs() -> None:
    for env, total in (("FrozenLake-v1", 0.0), (TAXI, -5.0), (CLIFF, -5.0)):
        (trajectory,) = await played("scripted:noop", env=env, max_turns=5, number=1)
        assert trajectory.outcome == total
    env, _ = opened(invalid_reward=-0.5)
    assert say(env, "").reward == {"outcome": -0.5, "valid": 0.0}


def test_the_lake_is_a_picture_and_the_actions_have_names() -> None:
    env, seen = opened()
    assert seen == "<red>S</red>FFF\nFHFH\nFFFH\nHFFG"
    assert env.actions() == ("left", "down", "right", "up")
    assert say(env, " DOWN ").messages[0].content.startswith("  (Down)\nSFFF\n<red>F</red>HFH")
    assert env.state_key() == "4"
    assert say(env, "0", "left").reward["valid"] == 1.0
    assert env.state_key() == "4"


class Framed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Draws something of its own around what is inside."""

    def render(self) -> Any:
        return f"[{self.env.render()}]"


def test_a_wrapper_that_draws_is_heeded() -> None:
    frame = gymnasium.envs.registration.WrapperSpec("Framed", f"{__name__}:Framed", {})
    lake = gymnasium.spec("FrozenLake-v1").entry_point
    gymnasium.register("tests/Framed-v0", lake, additional_wrappers=(frame,))
    try:
        _, seen = opened(env="tests/Framed-v0")
    finally:
        gymnasium.registry.pop("tests/Framed-v0")
    assert seen.startswith("[")
    assert seen.endswith("]")


@pytest.mark.parametrize("text", ["", "jump", "4", "-1", "0.5", "٣", "left right", "9" * 5000])
def test_what_is_no_action_is_answered_and_changes_nothing(text: str) -> None:
    env, seen = opened()
    step = say(env, text)
    assert step.reward == {"outcome": 0.0, "valid": 0.0}
    assert not step.terminated
    hint = "That is no action. Answer with one of: left, down, right, up."
    assert step.messages[0].content == f"{hint}\n{seen}"
    assert env.state_key() == "0"


def test_the_view_and_the_names_can_be_chosen() -> None:
    env, seen = opened(view="values", actions=["west", "south", "east", "north"])
    assert seen == "0"
    assert say(env, "south").messages[0].content == "4"
    assert say(env, "down").reward["valid"] == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"actions": ["left", "right"]},
            "2 names of actions, 2 of them different, but there are 4",
        ),
        (
            {"actions": ["a", "A", "b", "c"]},
            "4 names of actions, 3 of them different, but .* 4: a, A, b, c",
        ),
        ({"view": "grid"}, "needs observations of MiniGrid"),
        ({"env": "CartPole-v1", "view": "ansi"}, "needs an environment with the render mode ansi"),
        ({"env": "Pendulum-v1"}, "actions of Box.* cannot be said in text"),
        ({"env": "FrozenLoke-v1"}, "cannot make 'FrozenLoke-v1'.*Did you mean"),
        ({"env": "FrozenLake-v1", "kwargs": {"siez": 3}}, "unexpected keyword argument 'siez'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(**settings)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingError, match="no_such_package"):
        opened(env="no_such_package:Game-v0")
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingError, match="needs the package gymnasium"):
        opened(env="Acrobot-v1")


def test_a_task_of_another_environment_is_refused() -> None:
    with pytest.raises(TaskError, match="no seed"):
        GymnasiumConfig().build().reset(Task("2 + 2"), seed=0)


def test_train_and_test_have_different_seeds() -> None:
    config = GymnasiumConfig(env=MINIGRID)
    held_out = {task.payload["seed"] for task in config.tasks("test")}
    train = [task.payload["seed"] for task in islice(config.tasks("train"), 1000)]
    assert len(held_out) == 256
    assert held_out.isdisjoint(train)
    assert all(after == before + 1 for before, after in pairwise(train))


def test_instances_are_used_again_unless_they_raised() -> None:
    settings: dict[str, Any] = {"env": "tests/Strange-v0"}
    before = Strange.alive
    env, _ = opened(**settings, kwargs={"space": "discrete"})
    env.close()
    again, _ = opened(**settings, kwargs={"space": "discrete"})
    again.close()
    assert Strange.alive == before + 1
    broken, _ = opened(**settings, kwargs={"space": "discrete", "raises": True})
    with pytest.raises(ValueError, match="out of order"):
        say(broken, "0")
    broken.close()
    assert Strange.alive == before + 1


async def test_an_environment_that_raises_ends_the_episode_by_a_fault() -> None:
    broken = {"env": "tests/Strange-v0", "kwargs": {"space": "discrete", "raises": True}}
    (trajectory,) = await played("scripted:random", number=1, **broken)
    assert trajectory.end == "error"
    assert "out of order" in trajectory.reason


@pytest.mark.parametrize(
    ("space", "good", "bad"),
    [
        ("discrete", {"-1": -1, "1": 1}, ["2", "-2", "one"]),
        ("wide", {"999": 999}, ["1000", "-1"]),
        ("several", {"2 1": [2, 1], "0,0": [0, 0]}, ["3 1", "1", "1 1 1", "", "a b"]),
        ("grid", {"1 1 0 2": [[1, 1], [0, 2]]}, ["2 0 0 0", "1 1 1"]),
        ("binary", {"1 0 0 1": [[1, 0], [0, 1]]}, ["2 0 0 0", "1"]),
        ("text", {"abc": "abc"}, ["", "abcdef", "é"]),
    ],
)
def test_texts_are_actions_of_every_space_and_come_back_as_observations(
    space: str, good: dict[str, Any], bad: list[str]
) -> None:
    env, _ = opened(env="tests/Strange-v0", kwargs={"space": space})
    for text, value in good.items():
        parsed = actions_of(SPACES[space], None).parse(text)
        assert parsed in SPACES[space]
        assert np.array_equal(parsed, value)
        step = say(env, text)
        assert step.reward["valid"] == 1.0
        assert step.messages[0].content == text.replace(",", " ")
    assert [say(env, text).reward["valid"] for text in bad] == [0.0] * len(bad)
    assert all(say(env, text).reward["valid"] == 1.0 for text in env.actions())


@pytest.mark.parametrize(
    "names", [("left", "LEFT", "right"), ("a", " A "), ("a",), ("a", "b", "c")], ids=str
)
def test_every_action_needs_one_name_of_its_own(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"names of actions, . of them different") as caught:
        actions_of(spaces.Discrete(2), names)
    assert str(caught.value).endswith(f"but there are 2: {', '.join(names)}")


def test_many_actions_are_told_by_their_bounds_and_some_of_their_names() -> None:
    space = spaces.Discrete(100, start=10)
    assert actions_of(space, None).told == "a number from 10 to 109"
    named = actions_of(space, [f"go{number}" for number in range(100)])
    assert named.told.startswith("a number from 10 to 109, or a name such as go0, go1, ")
    assert named.told.endswith("go7")
    assert named.parse("go7") == 17


def test_few_actions_are_listed_and_many_are_not() -> None:
    listed = {name: len(actions_of(space, None).listed) for name, space in SPACES.items()}
    assert listed == {"discrete": 3, "wide": 0, "several": 6, "grid": 24, "binary": 16, "text": 0}


def test_compound_observations_are_told_by_name() -> None:
    space = spaces.Dict(
        {
            "at": spaces.Tuple((spaces.Discrete(9), spaces.MultiBinary(2))),
            "box": spaces.Box(-1, 1, (2,), np.float64),
            "word": spaces.Text(4),
        }
    )
    value = {"at": (3, np.array([0, 1])), "box": np.array([0.5, -1 / 3]), "word": "hey"}
    assert reader_of(space)(value) == "at: 3, 0 1\nbox: 0.5 -0.333333\nword: hey"


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (10, 10)),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Discrete(2), None),
    ],
)
def test_observations_that_nobody_could_read_are_refused(space: Any) -> None:
    with pytest.raises(ConfigError, match="observations of"):
        reader_of(space)


@pytest.mark.parametrize(
    ("drawn", "told"),
    [
        ("\x1b[41mS\x1b[0mFF", "<red>S</red>FF"),
        ("|\x1b[43m\x1b[34;1mR\x1b[0m\x1b[0m:", "|<yellow><blue>R</blue></yellow>:"),
        ("\x1b[1mbold\x1b[0m", "bold"),
        ("\nplain\n", "plain"),
    ],
)
def test_colours_become_tags(drawn: str, told: str) -> None:
    assert picture(drawn) == told


def test_minigrid_is_told_in_words_and_is_the_same_grid() -> None:
    pytest.importorskip("minigrid")
    env, seen = opened(env=MINIGRID)
    mission, *grid, facing, things = seen.split("\n")
    assert mission == "use the key to open the door and then get to the goal."
    assert len(grid) == 7
    assert grid[6][3] == "^"
    assert facing.endswith("You carry nothing.")
    assert env.actions() == ("left", "right", "forward", "pickup", "drop", "toggle", "done")
    native = gymnasium.make(MINIGRID)
    image = native.reset(seed=0)[0]["image"]
    marks = {0: "?", 1: ".", 2: "#", 4: "D", 5: "K", 8: "G"}
    expected = ["".join(marks[int(kind)] for kind in image[:, row, 0]) for row in range(7)]
    expected[6] = f"{expected[6][:3]}^{expected[6][4:]}"
    assert grid == expected
    assert "yellow door" in things or "D" not in seen


def test_minigrid_tells_what_is_carried_where_things_are_and_how_doors_stand() -> None:
    pytest.importorskip("minigrid")
    env, _ = opened(env=MINIGRID)
    inner = env._played.env.unwrapped
    from minigrid.core.world_object import Ball, Door

    inner.grid.set(1, 2, Ball("green"))
    inner.grid.set(1, 3, Door("red", is_open=True))
    inner.agent_pos, inner.agent_dir = (1, 1), 1
    content = say(env, "done").messages[0].content
    assert "You face south. You carry nothing." in content
    assert "green ball 1 ahead" in content
    assert "open red door 2 ahead" in content
    key = env.state_key()
    assert "You carry green ball." in say(env, "pickup").messages[0].content
    assert env.state_key() != key


async def test_agentgyms_own_face_can_be_put_back_into_agentgym() -> None:
    """KeyDoor, seen through Gymnasium, seen through this adapter, is KeyDoor."""
    env, seen = opened(env="agentgym.gym:agentgym/KeyDoor-v0", kwargs={"rules": False})
    direct = gymnasium.make("agentgym/KeyDoor-v0", rules=False)
    assert seen == direct.reset(seed=0)[0]
    chance = random.Random(0)
    for _ in range(5):
        move = chance.choice(["up", "down", "left", "right"])
        text, reward, terminated, *_ = direct.step(move)
        step = say(env, move)
        assert (step.messages[0].content, step.reward["outcome"]) == (text, reward)
        if terminated:
            break


def test_value_iteration_weighs_chance_and_prefers_the_short_way() -> None:
    """State 0: action 0 wins 10 with chance 1/2, action 1 wins 6 for sure, action 2 wins 6 later."""
    dynamics = {
        0: {
            0: [(0.5, 2, 10.0, True), (0.5, 2, 0.0, True)],
            1: [(1.0, 2, 6.0, True)],
            2: [(1.0, 1, 0.0, False)],
        },
        1: {0: [(1.0, 2, 0.0, True)], 1: [(1.0, 2, 0.0, True)], 2: [(1.0, 2, 6.0, True)]},
        2: {action: [(1.0, 2, 0.0, True)] for action in range(3)},
    }
    assert best_actions(dynamics)[:2] == [1, 2]


def test_gymnasiums_face_of_it_works_too() -> None:
    env = agentgym.gym.TextEnv("agentgym/Gymnasium-v0", env="FrozenLake-v1")
    env.reset(options={"index": 0})
    total = 0.0
    for move in ("down", "down", "right", "down", "right", "right"):
        total += env.step(move)[1]
    assert total == 1.0
    broken = {"space": "discrete", "raises": True}
    env = agentgym.gym.TextEnv("agentgym/Gymnasium-v0", env="tests/Strange-v0", kwargs=broken)
    env.reset()
    with pytest.raises(EnvError, match="out of order"):
        env.step("0")


def _open(env: str) -> Any:
    config = GymnasiumConfig(env=env)
    opened = config.build()
    opened.reset(first_tasks(config, "test", number=1)[0], seed=0)
    return opened


def test_what_is_drawn_for_a_terminal_is_a_panel() -> None:
    lake = _open("FrozenLake-v1")
    (before,) = lake.panels()
    lake.step(Message("assistant", "right"))
    (after,) = lake.panels()
    assert "\x1b[41mS\x1b[0m" in before.text
    assert "\x1b[41mS\x1b[0m" not in after.text
    assert picture(after.text) in lake._shown[0].content
    lake.close()


def test_minigrid_is_drawn_as_a_whole() -> None:
    pytest.importorskip("minigrid")
    env = _open(MINIGRID)
    (grid,) = env.panels()
    game = env._played.env.unwrapped
    assert (len(grid.rows), len(grid.rows[0])) == (game.grid.height, game.grid.width)
    assert set(grid.rows[0]) == {"#"}
    x, y = game.agent_pos
    assert grid.legend[grid.rows[y][x]] == "agent"
    assert {"key", "door", "goal"} <= set(grid.legend.values())
    game.carrying = next(each for each in game.grid.grid if each and each.type == "key")
    assert env.panels()[0].title == f"carries the {game.carrying.color} key"
    env.close()
