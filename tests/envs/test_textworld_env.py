import asyncio
import json
import os
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textworld")

from pddl_game import write_game

from agentgym.check import check_env
from agentgym.env import EnvStep, first_tasks
from agentgym.envs.textworld import TextWorldConfig, TextWorldEnv
from agentgym.envs.textworld.console import give_back, take
from agentgym.envs.textworld.making import TIERS, Recipe
from agentgym.envs.textworld.texts import forms_of, opening, problem_of, tidied
from agentgym.errors import ConfigError, MissingError, TaskError
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.replay import replay
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, Task, ToolCall, Trajectory

pytestmark = pytest.mark.slow


async def opened(number: int = 0, **settings: Any) -> tuple[TextWorldEnv, str]:
    config = TextWorldConfig(**settings)
    task = first_tasks(config, "train", number=number + 1)[number]
    env = config.build()
    reset = await env.reset(task, seed=0)
    return env, reset.messages[-1].content


async def say(env: TextWorldEnv, *texts: str) -> EnvStep:
    for text in texts:
        step = await env.step(Message("assistant", text))
    return step


async def played(
    policy: str, *, number: int = 1, split: str = "train", group_size: int = 1, **settings: Any
) -> list[Trajectory]:
    config = TextWorldConfig(**settings)
    tasks = first_tasks(config, split, number=number)
    jobs = make_jobs(tasks, group_size=group_size, run_seed=0, prefix="t", env=config.id)
    return await collect(jobs, config=config, make_policy=scripted_policies(policy))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five games that TextWorld made, as anybody's folder of games."""
    folder = tmp_path_factory.mktemp("games")
    for number, task in enumerate(first_tasks(TextWorldConfig(), "train", number=5)):
        console = take(Recipe(*(task.payload[field] for field in Recipe._fields)))
        for kind in (".z8", ".json"):
            path = folder / f"house-{number}" / f"game{kind}"
            path.parent.mkdir(exist_ok=True)
            shutil.copy(console.key[0].with_suffix(kind), path)
        give_back(console)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("game", sorted(TIERS))
async def test_the_expert_wins_every_kind_of_game_in_both_splits(game: Any) -> None:
    for split in ("train", "test"):
        (trajectory,) = await played("scripted", split=split, game=game)
        assert (trajectory.outcome, trajectory.end) == (1.0, "terminated")
        assert sum(step.reward_terms["score"] for step in trajectory.steps) == pytest.approx(1.0)
        assert all(step.reward_terms["admissible"] == 1.0 for step in trajectory.steps)


@pytest.mark.slow
@pytest.mark.parametrize("game", ["coin_collector", "cooking"])
async def test_the_expert_wins_the_hardest_games_in_time(game: Any) -> None:
    (trajectory,) = await played("scripted", game=game, tier="hard")
    assert trajectory.outcome == 1.0
    assert len(trajectory.steps) >= 10


async def test_an_episode_begins_with_what_is_to_be_done_and_tells_what_happens() -> None:
    env, seen = await opened()
    assert "$$" not in seen
    assert "-= " in seen
    assert ">" not in seen
    assert "   " not in seen
    here = env.state_key()
    move = next(each for each in env.actions() if each.startswith("go "))
    back = {"east": "west", "west": "east", "north": "south", "south": "north"}[move[3:]]
    step = await say(env, move)
    assert step.messages[0].content.startswith("-= ")
    assert step.reward == {"outcome": 0.0, "score": 0.0, "admissible": 1.0}
    assert env.state_key() != here
    await say(env, f"go {back}")
    assert env.state_key() == here


async def test_a_game_understands_more_than_it_lists() -> None:
    env, _ = await opened()
    move = next(each for each in env.actions() if each.startswith("go "))
    step = await say(env, f"> {move[3]} ")
    assert step.reward["admissible"] == 0.0
    assert step.messages[0].content.startswith("-= ")
    step = await say(env, "xyzzy")
    assert "not a verb" in step.messages[0].content
    assert not step.terminated


async def test_admissible_commands_are_told_where_that_is_wanted() -> None:
    env, seen = await opened(show_admissible=True)
    assert seen.endswith(f"\n\nYou can: {'; '.join(env.actions())}.")
    step = await say(env, "quit")
    assert step.messages[0].content.startswith("That is no command: it speaks to the program")
    assert step.messages[0].content.endswith(f"You can: {'; '.join(env.actions())}.")


async def test_what_is_no_command_costs_a_turn_and_changes_nothing() -> None:
    env, _ = await opened()
    here = env.state_key()
    for text in ("", " \n", "look\nlook", "x" * 1000, "\0", "\ud800", "héllo", "save", "restart"):
        step = await say(env, text)
        assert step.reward == {"outcome": 0.0, "score": 0.0, "admissible": 0.0}
        assert step.messages[0].content.startswith("That is no command: it ")
    step = await env.step(Message("assistant", "look", tool_calls=(ToolCall("look"),)))
    assert step.messages[0].content == "That is no command: it calls a tool."
    assert env.state_key() == here


OUTSIDE = [
    *("save", "SAVE", "restore", "restart", "quit", "q", "undo", "script", "transcript", "oops"),
    *(
        "unscript",
        "noscript",
        "recording on",
        "replay",
        "commands on",
        "o save",
        "tw-trace-actions",
    ),
    *("look. save", "look.save", "look then script", "look, save", '"save', "scriptxyz", "#record"),
    *("inventory; restart", "chest, save", "$verify", "\\s", "restrict commands", "look and quit"),
]


@pytest.mark.parametrize("text", OUTSIDE)
def test_words_to_the_interpreter_are_not_for_the_game(text: str) -> None:
    assert problem_of(text) == "it speaks to the program, not to the game"


@pytest.mark.parametrize(
    "text",
    [
        *("take type Q key", "unlock type O box with type O key", "take commanding novel"),
        *("examine manuscript", "put half of a bag of chips on the couch", "take all", "n", "look"),
        *("go east. take the key", "open chest then take key and novel", "say quit-claim"),
    ],
)
def test_words_of_the_game_are(text: str) -> None:
    assert problem_of(text) is None


async def test_nothing_that_is_let_through_writes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env, _ = await opened()
    twisted = [
        "(save",
        "-save",
        "save-",
        "saveit",
        "ask me to save",
        "tell box to save",
        "say save",
    ]
    twisted += [
        "again",
        "g",
        "x save",
        "take save",
        "then",
        ".",
        "go. ",
        "yes",
        "version",
        "verify",
    ]
    for text in [*twisted, *OUTSIDE, *twisted]:
        step = await say(env, text)
        assert "halted" not in step.messages[0].content
    assert os.listdir(tmp_path) == []
    step = await say(env, "look")
    assert step.messages[0].content.startswith("-= ")


def test_texts_lose_their_decoration() -> None:
    after = (
        "\nYou take it.\n\n\n\nYour score has just gone up by one point.\n\n>     -= Attic =-1/2"
    )
    assert tidied(after) == "You take it.\n\nYour score has just gone up by one point."
    end = "*** The End ***\n\n\nWould you like to RESTART, RESTORE a saved game or QUIT?\n> "
    assert tidied(end) == "*** The End ***"
    first = (
        "\n\n  $$$$$\\ \n \\$$ \n\nHello. Win!\n\n-= Attic =-\nIt is a > b.\n\n>  -= Attic =-0/0"
    )
    assert opening(first, "Hello. Win!") == "Hello. Win!\n\n-= Attic =-\nIt is a > b."
    assert opening(first, "") == "Hello. Win!\n\n-= Attic =-\nIt is a > b."
    assert opening("West of House\n\n>", None) == "West of House"
    forms = ["go to [{r.name | at(r:r, l:l)}]", "take {o} from {c}", "take {o} from {s}"]
    assert forms_of(forms) == "go to ..., take ... from ..."


async def test_a_lost_game_is_over_and_earns_nothing() -> None:
    """The thing that must not be taken is the one that the objective does not name."""
    found = await played("scripted:random", game="treasure_hunter", number=6)
    lost = [each for each in found if each.end == "terminated" and each.outcome == 0]
    assert lost
    assert "You lost" in lost[0].steps[-1].replies[-1].content


async def test_episodes_beside_each_other_do_not_mix() -> None:
    config = TextWorldConfig()
    for trajectory in await played("scripted:random", number=2, group_size=4):
        assert (await replay(trajectory, config, None)).differences == ()


async def test_the_expert_finds_the_way_from_anywhere() -> None:
    config = TextWorldConfig()
    task = first_tasks(config, "train", number=1)[0]
    env, _ = await opened()
    move = next(each for each in env.actions() if each.startswith("go "))
    await say(env, move, "look", "nonsense")
    script = env.expert(task)
    for _ in range(10):
        step = await env.step(script(()))
        if step.terminated:
            break
    assert step.reward["outcome"] == 1.0
    await env.restore(await env.snapshot())
    assert script(()) == Message("assistant", "look")  # it is won
    with pytest.raises(NotImplementedError):
        env.expert(task, level="novice")


async def test_a_snapshot_goes_on_elsewhere() -> None:
    env, _ = await opened()
    await say(env, "inventory", next(each for each in env.actions() if each.startswith("go ")))
    other = TextWorldConfig().build()
    await other.restore(await env.snapshot())
    assert other.state_key() == env.state_key()
    assert (await say(other, "look")).messages == (await say(env, "look")).messages


async def test_an_instance_is_played_again_and_begins_anew(monkeypatch) -> None:
    monkeypatch.setattr("agentgym.envs.textworld.console._idle", [])  # others may have left one
    env, seen = await opened()
    console = env._console
    await say(env, "inventory", next(each for each in env.actions() if each.startswith("go ")))
    env.close()
    again, seen_again = await opened()
    assert again._console is console
    assert seen_again == seen
    other, _ = await opened()
    assert other._console is not console


def test_splits_have_different_seeds_and_words() -> None:
    for game in TIERS:
        config = TextWorldConfig(game=game, train_games=100)
        test, train = (list(config.tasks(split)) for split in ("test", "train"))
        seeds = {task.payload["seed"] for task in train}
        assert (len(test), len(seeds)) == (64, 100)
        assert seeds.isdisjoint(task.payload["seed"] for task in test)
        words = [json.loads(tasks[0].payload["settings"]) for tasks in (train, test)]
        assert (words[0] != words[1]) == (game in ("simple", "cooking"))


async def test_options_shape_the_game() -> None:
    options = {"nb_rooms": 1, "nb_objects": 4, "quest_length": 1}
    env, _ = await opened(options=options)
    assert not [each for each in env.actions() if each.startswith("go ")]


async def test_a_game_can_be_made_by_several_processes_at_once(tmp_path: Path) -> None:
    program = (
        "from agentgym.envs.textworld.making import Recipe\n"
        "from agentgym.envs.textworld.console import take\n"
        'settings = \'{"nb_objects": 4, "nb_rooms": 2, "quest_length": 2}\'\n'
        'console = take(Recipe("custom", settings, 7))\n'
        "state = console.restart()\n"
        "print(state.feedback, state.admissible_commands)\n"
    )

    async def make(hash_seed: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            stdout=subprocess.PIPE,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONHASHSEED": hash_seed},
        )
        told, _ = await process.communicate()
        assert process.returncode == 0
        return told

    first, second = await asyncio.gather(make("1"), make("2"))
    assert first == second
    assert b"-= " in first
    (version,) = (tmp_path / "agentgym" / "textworld").iterdir()
    (kind,) = version.iterdir()
    assert [each.name for each in kind.iterdir()] == ["7"]
    assert sorted(each.name for each in (kind / "7").iterdir()) == ["game.json", "game.z8"]


async def test_files_are_games_too(files: Path) -> None:
    pattern = f"{files}/**/*.z8"
    config = TextWorldConfig(games=pattern)
    train, test = (list(config.tasks(split)) for split in ("train", "test"))
    assert [task.id.partition("/")[2] for task in test] == ["house-1/game.z8"]
    assert len(train) == 4
    for trajectory in await played("scripted", games=pattern, number=2):
        assert trajectory.outcome == 1.0
        assert (await replay(trajectory, config, None)).differences == ()


def test_games_can_be_held_out_by_name(files: Path) -> None:
    config = TextWorldConfig(games=f"{files}/house-[0-2]/*.z8", test_games=f"{files}/house-3/*.z8")
    assert [len(list(config.tasks(split))) for split in ("train", "test")] == [3, 1]
    ids = [task.id for split in ("train", "test") for task in config.tasks(split)]
    assert len(set(ids)) == 4
    config = TextWorldConfig(games=f"{files}/*/*.z8", test_games=f"{files}/house-3/*.z8")
    with pytest.raises(ConfigError, match=r"house-3/game.z8 is in games and in test_games"):
        list(config.tasks("train"))


def test_games_behind_links_are_named_as_found_and_there_once(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "linked"
    folder.mkdir()
    for name, target in (("a", "house-2"), ("b", "house-0"), ("c", "house-2")):
        (folder / name).symlink_to(files / target)
    monkeypatch.chdir(folder)
    for pattern in ("*/*.z8", "./**/*.z8", "../linked/*/*.z8", f"{folder}/[a-c]/*.z8"):
        config = TextWorldConfig(games=pattern)
        tasks = [task for split in ("train", "test") for task in config.tasks(split)]
        assert [task.id for task in tasks] == ["linked/a/game.z8", "linked/b/game.z8"]
        assert tasks[0].payload == {"file": str((files / "house-2" / "game.z8").resolve())}


async def test_a_game_without_its_json_is_played_by_its_texts_alone(
    files: Path, tmp_path: Path
) -> None:
    shutil.copy(files / "house-0" / "game.z8", tmp_path / "alone.z8")
    env, seen = await opened(games=str(tmp_path / "*.z8"))
    assert "-= " in seen
    assert env.actions() == ()
    assert env.state_key() is None
    assert (await say(env, "look")).messages[0].content.startswith("-= ")
    with pytest.raises(NotImplementedError):
        env.expert(Task("x"))


@pytest.mark.parametrize("name", ["game.json", "game.ulx", "game.txt"])
def test_files_without_a_text_are_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    config = TextWorldConfig(games=str(tmp_path / "*"))
    with pytest.raises(ConfigError, match=r"none of the 1 files that fit .* is a game with a text"):
        list(config.tasks("train"))


def test_a_single_file_leaves_nothing_to_test_on(files: Path) -> None:
    config = TextWorldConfig(games=f"{files}/house-0/*.z8")
    assert len(list(config.tasks("train"))) == 1
    with pytest.raises(ConfigError, match="leaves no game for the split 'test'"):
        list(config.tasks("test"))


async def test_a_game_that_has_gone_is_named(files: Path, tmp_path: Path) -> None:
    env = TextWorldConfig().build()
    with pytest.raises(ConfigError, match=r"there is no game /nowhere/game\.z8"):
        await env.reset(Task("x", payload={"file": "/nowhere/game.z8"}), seed=0)
    (tmp_path / "game.ulx").touch()
    with pytest.raises(ConfigError, match=r"game\.ulx is no game with a text"):
        await env.reset(Task("x", payload={"file": f"{tmp_path}/game.ulx"}), seed=0)
    with pytest.raises(TaskError, match="names no game"):
        await env.reset(Task("x"), seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"options": {"rooms": 3}}, "TextWorld's custom has no option 'rooms'"),
        ({"game": "cooking", "options": {"nb_rooms": 3}}, "cooking has no option 'nb_rooms'"),
        ({"game": "coin_collector", "options": {"level": 301}}, "Expected level to be within"),
        ({"options": {"quest_length": 0}}, "finds no custom game"),
        ({"options": {"nb_rooms": 0}}, "cannot make a custom game with .*: high <= 0"),
    ],
)
async def test_what_cannot_be_made_is_refused_with_a_reason(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        await opened(**settings)


def test_a_configuration_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="test_games needs games"):
        TextWorldConfig(test_games="*.z8")


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentgym.loading.objects.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="needs the package textworld") as caught:
        await opened()
    assert "agentgym-framework[textworld]" in str(caught.value.hint)


@pytest.fixture
def pddl_games(tmp_path: Path) -> str:
    for number in (1, 2):
        for split in ("train", "valid_unseen"):
            write_game(tmp_path / split / f"apple-{number}" / "game.tw-pddl", number=number)
    return str(tmp_path)


async def test_games_of_alfworld_need_a_planner(
    pddl_games: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textworld.envs.pddl.pddl.fast_downward_missing", True)
    with pytest.raises(
        MissingError, match=r"game\.tw-pddl needs the package fast_downward"
    ) as caught:
        await opened(games=f"{pddl_games}/train/**/*.tw-pddl")
    assert "textworld[pddl]" in str(caught.value.hint)


def test_games_that_alfworld_leaves_out_are_left_out(pddl_games: str) -> None:
    folder = Path(pddl_games) / "train"
    write_game(folder / "apple-0" / "game.tw-pddl", solvable=False)
    write_game(folder / "AppleSliced" / "game.tw-pddl")
    write_game(folder / "pick_movable" / "game.tw-pddl")
    config = TextWorldConfig(games=f"{folder}/**/*.tw-pddl", test_games=f"{folder}/nothing/*")
    with pytest.raises(ConfigError, match="none of the 0 files"):
        list(config.tasks("test"))
    config = TextWorldConfig(games=f"{folder}/**/*.tw-pddl")
    ids = [task.id for split in ("train", "test") for task in config.tasks(split)]
    assert ids == ["train/apple-1/game.tw-pddl", "train/apple-2/game.tw-pddl"]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.")
async def test_games_of_alfworld_are_played(pddl_games: str) -> None:
    pytest.importorskip("fast_downward")
    settings = {
        "games": f"{pddl_games}/train/**/*.tw-pddl",
        "test_games": f"{pddl_games}/valid_unseen/**/*.tw-pddl",
    }
    config = TextWorldConfig(**settings)
    for trajectory in await played("scripted", number=2, group_size=3, **settings):
        assert trajectory.outcome == 1.0
        actions = [step.message.content for step in trajectory.steps]
        number = 1 + (trajectory.task.id == "train/apple-2/game.tw-pddl")
        assert actions[1] == f"take apple {number} from fridge 1"
        assert actions[3] == f"put apple {number} on table 1"
        assert (await replay(trajectory, config, None)).differences == ()
    ids = {split: [task.id for task in islice(config.tasks(split), 9)] for split in config.splits}
    assert ids["test"] == ["valid_unseen/apple-1/game.tw-pddl", "valid_unseen/apple-2/game.tw-pddl"]
    report = await check_env(TextWorldConfig, overrides={**settings, "max_turns": 6})
    assert report.ok, str(report)
