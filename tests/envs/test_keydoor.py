import random
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings, strategies as st

from agentgym.env import EnvStep
from agentgym.envs.keydoor import KeyDoor, KeyDoorConfig
from agentgym.envs.keydoor.layout import MOVES, Layout, random_layouts
from agentgym.errors import TaskError
from agentgym.types import Message, Task

TIERS = KeyDoorConfig.tiers

# ..K
# SLD   the way to the door around the lava: up, right, right (key), down
# ...
DETOUR = Layout(3, (1, 0), (0, 2), (1, 2), frozenset({(1, 1)}))


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    size, lava = draw(st.integers(4, 7)), draw(st.integers(0, 6))
    cells = [(row, column) for row in range(size) for column in range(size)]
    start, key, door, *burning = draw(st.permutations(cells).map(lambda order: order[: 3 + lava]))
    return Layout(size, start, key, door, frozenset(burning))


def task_of(layout: Layout) -> Task:
    return Task(layout.drawing(), payload={"rows": layout.rows})


def start(task: Task, *, rules: bool = False) -> KeyDoor:
    env = KeyDoorConfig(rules=rules).build()
    env.reset(task, seed=0)
    return env


def play(task: Task, moves: Iterator[str] | list[str]) -> list[tuple[str, EnvStep]]:
    env = start(task)
    record = []
    for move in moves:
        key = env.state_key()
        step = env.step(Message("assistant", move))
        record.append((key, step))
        if step.terminated:
            break
    return record


def brute_force(layout: Layout) -> int | None:
    """Search over (cell, has key) by playing every move of the environment itself."""
    seen = {(layout.start, False)}
    frontier = [(layout.start, False)]
    for steps in range(1, 2 * layout.size**2):
        following = []
        for cell, had in frontier:
            for move in MOVES:
                to = layout.neighbour(cell, move) or cell
                state = (to, had or to == layout.key)
                if to in layout.lava or state in seen:
                    continue
                if state == (layout.door, True):
                    return steps
                seen.add(state)
                following.append(state)
        frontier = following
    return None


@settings(max_examples=80, deadline=None)
@given(layouts())
def test_the_optimum_is_that_of_a_search_over_all_states(layout: Layout) -> None:
    assert layout.optimal_steps() == brute_force(layout)


@settings(max_examples=80, deadline=None)
@given(layouts().filter(lambda layout: layout.optimal_steps() is not None))
def test_the_expert_always_succeeds_in_the_optimal_number_of_steps(layout: Layout) -> None:
    task = task_of(layout)
    env = start(task)
    expert = env.expert(task)
    steps = 0
    while True:
        answer = env.step(expert(()))
        steps += 1
        if answer.terminated:
            break
    assert answer.reward == {"outcome": 1.0, "valid": 1.0}
    assert steps == layout.optimal_steps()


@settings(max_examples=50, deadline=None)
@given(layouts(), st.lists(st.sampled_from([*MOVES, "jump", ""]), max_size=40))
def test_the_same_moves_give_the_same_record(layout: Layout, moves: list[str]) -> None:
    assert play(task_of(layout), moves) == play(task_of(layout), moves)


@given(layouts())
def test_rows_hold_the_whole_layout(layout: Layout) -> None:
    assert Layout.from_rows(layout.rows) == layout


@pytest.mark.parametrize("tier", TIERS)
def test_every_task_is_solvable_within_its_turns(tier: str) -> None:
    config = KeyDoorConfig(tier=tier)
    for task in [*islice(config.tasks("train"), 300), *config.tasks("test")]:
        layout = Layout.from_rows(task.payload["rows"])
        assert task.payload["optimal_steps"] == layout.optimal_steps()
        assert 2 <= layout.optimal_steps() <= config.max_turns


@pytest.mark.parametrize("tier", TIERS)
def test_the_test_split_is_256_layouts_that_train_never_has(tier: str) -> None:
    config = KeyDoorConfig(tier=tier)
    held_out = {task.prompt for task in config.tasks("test")}
    assert len(held_out) == 256
    assert held_out.isdisjoint(task.prompt for task in islice(config.tasks("train"), 2000))


def test_task_ids_are_unique_and_stable() -> None:
    first, again = (
        [task.id for task in islice(KeyDoorConfig().tasks("train"), 3000)] for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == 3000


def test_the_smallest_grid_has_a_test_split_too() -> None:
    assert len(list(KeyDoorConfig(size=4, lava=0).tasks("test"))) == 256


def test_observations_tell_the_goal_its_direction_and_the_cells_around() -> None:
    env = KeyDoorConfig(rules=False).build()
    reset = env.reset(task_of(DETOUR), seed=0)
    assert reset.messages == (
        Message(
            "user",
            "floor floor key\nyou lava door\nfloor floor floor\nkey up right floor floor wall lava",
        ),
    )
    texts = [
        step.messages[0].content for _, step in play(task_of(DETOUR), ["up", "right", "right"])
    ]
    assert texts == [
        "key here right wall floor wall floor",
        "key here right wall lava floor key",
        "door down here wall door floor wall",
    ]


def test_the_rules_come_first_when_they_are_asked_for() -> None:
    messages = KeyDoorConfig().build().reset(task_of(DETOUR), seed=0).messages
    assert [message.role for message in messages] == ["system", "user"]
    assert all(move in messages[0].content for move in MOVES)


def test_the_door_without_the_key_does_nothing() -> None:
    moves = ["down", "right", "right", "up"]
    (*_, (_, step)) = play(task_of(DETOUR), moves)
    assert not step.terminated
    assert step.reward["outcome"] == 0.0


def test_lava_ends_the_episode_without_reward() -> None:
    ((_, step),) = play(task_of(DETOUR), ["right"])
    assert step == EnvStep((), {"outcome": 0.0, "valid": 1.0}, terminated=True)


def test_a_wall_keeps_the_state() -> None:
    (first, step), (second, _) = play(task_of(DETOUR), ["left", "left"])
    assert first == second
    assert step.reward["valid"] == 1.0


def test_an_unknown_action_costs_a_turn_and_changes_nothing() -> None:
    (first, step), (second, _) = play(task_of(DETOUR), ["jump", " UP "])
    assert first == second
    assert step.messages[0].content == "unknown key up right floor floor wall lava"
    assert step.reward == {"outcome": 0.0, "valid": 0.0}


def test_states_recur_and_the_key_is_part_of_them() -> None:
    record = play(task_of(DETOUR), ["up", "right", "right", "left", "right", "left"])
    keys = [key for key, _ in record]
    assert keys[2] != keys[4] == f"{DETOUR.id} 0 1 key"
    assert keys[3] == keys[5] == f"{DETOUR.id} 0 2 key"


def test_a_random_policy_succeeds_now_and_then_on_easy_grids() -> None:
    chance = random.Random(0)
    tasks = islice(KeyDoorConfig().tasks("train"), 1500)
    wins = [
        play(task, [chance.choice(tuple(MOVES)) for _ in range(30)])[-1][1].reward["outcome"]
        for task in tasks
    ]
    assert 0.05 <= sum(wins) / len(wins) <= 0.15


def test_a_task_of_another_environment_is_refused() -> None:
    with pytest.raises(TaskError, match="no layout"):
        KeyDoorConfig().build().reset(Task("2 + 2"), seed=0)


def test_generated_layouts_belong_to_their_split() -> None:
    assert all(layout.is_test for layout in islice(random_layouts(size=5, lava=3, test=True), 50))


def test_only_the_expert_is_scripted() -> None:
    with pytest.raises(NotImplementedError, match="novice"):
        start(task_of(DETOUR)).expert(task_of(DETOUR), level="novice")
