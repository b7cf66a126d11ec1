import random
import sys
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from agentgym.check import check_env
from agentgym.check.checks import named
from agentgym.env import first_tasks
from agentgym.envs.textarena import TextArenaConfig
from agentgym.envs.textarena.game import Game
from agentgym.envs.textarena.games import canonical, known, require
from agentgym.envs.textarena.opponents import candidates, moves_in, player_by_chance
from agentgym.errors import ConfigError, MissingError, TaskError
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs
from agentgym.rollout.replay import Replay, replay
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, Task, Trajectory

pytestmark = pytest.mark.slow

textarena = pytest.importorskip("textarena")

FOR_ONE = [
    "2048",
    "Bandit",
    "Blackjack",
    "Countdown",
    "Crosswords",
    "Cryptarithm",
    "FifteenPuzzle",
    "FrozenLake",
    "GuessTheNumber",
    "LightsOut",
    "LogicPuzzle",
    "Mastermind",
    "Minesweeper",
    "PegJump",
    "RushHour",
    "Secretary",
    "Set",
    "Slitherlink",
    "Sokoban",
    "Sudoku",
    "ThreeCardMonte",
    "TowerOfHanoi",
]
FOR_TWO = [
    "Battleship",
    "Briscola",
    "Chopsticks",
    "ColonelBlotto",
    "ConnectFour",
    "Crusade",
    "GameOfPureStrategy",
    "GermanWhist",
    "Golf",
    "HighSociety",
    "IndianPoker",
    "IteratedMatchingPennies",
    "IteratedPrisonersDilemma",
    "IteratedRockPaperScissors",
    "IteratedTwoThirdsAverage",
    "IteratedUltimatumGame",
    "KuhnPoker",
    "LiarsDice",
    "MarketEntryGame",
    "MemoryGame",
    "Nim",
    "Othello",
    "PigDice",
    "Poker",
    "PublicGoodsGame",
    "SimpleBlindAuction",
    "SimpleNegotiation",
    "SimpleTak",
    "Snake",
    "Surround",
    "TicTacToe",
    "TruthAndDeception",
    "UltimateTicTacToe",
    "WildTicTacToe",
]


async def played(
    policy: str, *, number: int = 8, concurrency: int = 16, **settings: Any
) -> list[Trajectory]:
    config = TextArenaConfig(**settings)
    tasks = first_tasks(config, "test", number=number)
    return await collect(
        make_jobs(tasks, group_size=1, run_seed=0, prefix="t", env=config.id),
        config=config,
        make_policy=scripted_policies(policy),
        rollout=RolloutConfig(concurrency=concurrency),
    )


def opened(game: str, *, seed: int = 0, **settings: Any) -> tuple[Any, str]:
    env = TextArenaConfig(game=game, **settings).build()
    reset = env.reset(Task("", payload={"seed": seed}), seed=0)
    return env, reset.messages[-1].content


def say(env: Any, *texts: str) -> Any:
    for text in texts:
        step = env.step(Message("assistant", text))
    return step


def natively(game: str, seed: int, moves: list[str], *, players: int = 1) -> Any:
    """Play without agentgym; return the whole observation before the end, and the rewards."""
    env = textarena.make(game)
    env.reset(num_players=players, seed=seed)
    for move in moves:
        _, seen = env.get_observation()
        env.step(action=move)
    return seen, env.close()[0]


@pytest.mark.parametrize("game", ["GuessTheNumber-v0", "TicTacToe-v0", "Sudoku-v0-train"])
async def test_other_games_keep_the_promises_of_an_environment(game: str) -> None:
    words = ["shapes", "repeat", "isolation", "rewards", "malformed", "limits", "record"]
    report = await check_env(TextArenaConfig, overrides={"game": game}, checks=named(words))
    assert report.ok, [result for result in report.results if result.status == "failed"]


@pytest.mark.parametrize(
    ("game", "least"),
    [
        ("Mastermind-v0", 1.0),
        ("Mastermind-v0-hard", 1.0),
        ("GuessTheNumber-v0", 1.0),
        ("GuessTheNumber-v0-hardcore", 1.0),
        ("TowerOfHanoi-v0", 1.0),
        ("TowerOfHanoi-v0-hardcore", 1.0),
        ("Nim-v0", 0.95),
        ("TicTacToe-v0", 0.9),
    ],
)
async def test_experts_win_and_silence_does_not(game: str, least: float) -> None:
    outcomes = [each.outcome for each in await played("scripted", game=game, number=40)]
    assert sum(outcomes) / len(outcomes) >= least
    assert not any(each.outcome for each in await played("scripted:noop", game=game))


async def test_nobody_beats_the_expert_of_tic_tac_toe() -> None:
    perfect = await played("scripted", game="TicTacToe-v0", opponent="expert")
    assert [each.outcome for each in perfect] == [0.5] * 8
    others = await played("scripted:random", game="TicTacToe-v0", opponent="expert", number=40)
    assert max(each.outcome for each in others) <= 0.5


async def test_there_is_an_expert_only_where_one_is_written() -> None:
    for settings in ({"game": "2048-v0"}, {"game": "Mastermind-v0-extreme"}):
        with pytest.raises(ConfigError, match="no scripted policy 'expert'"):
            await played("scripted", **settings)
    with pytest.raises(ConfigError, match="no expert of ConnectFour-v0"):
        await played("scripted:random", game="ConnectFour-v0", opponent="expert")


@pytest.mark.parametrize("name", FOR_ONE)
async def test_games_for_one_are_those_of_textarena_itself(name: str) -> None:
    """The same seed and moves, played by both, give the same texts and the same rewards."""
    game = f"{name}-v0" if name != "Sudoku" else "Sudoku-v0-easy"
    slow = name in ("RushHour", "Sokoban")
    for trajectory in await played("scripted:random", game=game, number=2 if slow else 6):
        moves = [step.message.content for step in trajectory.steps]
        seen, rewards = natively(game, trajectory.task.payload["seed"], moves)
        told = [each.content for each in trajectory.messages if each.role == "user"]
        at = 0
        for text in told[:-1]:
            assert text in seen[at:], (game, text)
            at = seen.index(text, at) + len(text)
        if trajectory.end == "terminated":
            (value,) = rewards.values()
            expected = float(value) if isinstance(value, int | float) else 0.0
            assert trajectory.steps[-1].reward_terms["reward"] == expected


@pytest.mark.parametrize("name", FOR_TWO)
def test_the_player_by_chance_plays_games_for_two_to_their_end(name: str) -> None:
    for seed in range(2):
        game = Game(f"{name}-v0" if name != "Othello" else "Othello-v0-tiny", seed=seed)
        players = [player_by_chance(seed), player_by_chance(seed + 100)]
        for _ in range(2000):
            if game.is_over:
                break
            players[game.turn](game)
        assert game.is_over
        assert not game.fault
        if name != "Surround":  # where to crash is a move
            assert not any(each["invalid_move"] for each in game.state.game_info.values())
        assert set(game.state.rewards) >= {0, 1}


async def test_the_policy_is_first_in_every_other_task_and_sees_what_the_other_did() -> None:
    env, seen = opened("TicTacToe-v0", seed=0)
    assert "You are Player 0" in seen
    assert "[Player 1]" not in seen
    env, seen = opened("TicTacToe-v0", seed=1)
    assert "You are Player 1" in seen
    assert "[GAME] Player 0 placed their symbol (O)" in seen
    free = moves_in(seen.rpartition("Available Moves")[2])
    assert len(free) == 8
    told = say(env, free[0]).messages[0].content
    assert f"[Player 1] {free[0]}" not in told  # it knows what it said
    assert "[GAME] Player 1 placed their symbol (X)" in told


async def test_both_players_are_told_the_same_as_by_textarena() -> None:
    for trajectory in await played("scripted", game="TicTacToe-v0", number=6):
        env = TextArenaConfig(game="TicTacToe-v0").build()
        env.reset(trajectory.task, seed=0)
        for step in trajectory.steps:
            env.step(step.message)
        moves = [text for sender, text in env.game.state.logs if sender >= 0]
        _, rewards = natively("TicTacToe-v0", trajectory.task.payload["seed"], moves, players=2)
        assert trajectory.steps[-1].reward_terms["reward"] == rewards[env.game.seat]
        assert trajectory.outcome == (rewards[env.game.seat] + 1) / 2


def test_what_the_other_player_tries_in_vain_is_seen_by_nobody() -> None:
    for seed in range(1, 21, 2):
        _, seen = opened("Chopsticks-v0", seed=seed)  # its moves are not shown, so it has to try
        assert "attempted an invalid move" not in seen
        assert seen.count("[Player 0]") == 1


async def test_the_process_draws_as_if_nothing_had_been_played() -> None:
    known.cache_clear()
    random.seed(7)
    expected = [random.random() for _ in range(3)]
    random.seed(7)
    drawn = [random.random()]
    for game in ("2048-v0", "TicTacToe-v0", "RushHour-v0"):
        await played("scripted:random", game=game, number=2)
        if len(drawn) < 3:
            drawn.append(random.random())
    assert drawn == expected
    assert textarena.core.random is random
    assert sys.modules["textarena.envs.Game2048.env"].random is random


@pytest.mark.parametrize("game", ["2048-v0", "Blackjack-v0", "PigDice-v0", "Mastermind-v0"])
async def test_games_beside_each_other_are_as_each_alone(game: str) -> None:
    settings = {"game": game, "number": 12, "max_turns": 30}
    together = await played("scripted:random", concurrency=12, **settings)
    alone = await played("scripted:random", concurrency=1, **settings)
    assert [list(each.messages) for each in together] == [list(each.messages) for each in alone]
    for trajectory in together[:4]:
        config = TextArenaConfig(game=game, max_turns=30)
        assert await replay(trajectory, config) == Replay()


def test_games_in_threads_are_as_each_alone() -> None:
    def play(seed: int) -> list[str]:
        env, seen = opened("2048-v0", seed=seed)
        return [seen, *(say(env, move).messages[0].content for move in ["[left]", "[up]"] * 20)]

    found: dict[int, list[str]] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: play(seed)}))  # type: ignore[misc]
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: play(seed) for seed in range(4)}


def test_a_view_of_the_board_is_shown_whole_each_time() -> None:
    env, seen = opened("Sudoku-v0-train")
    told = say(env, "x").messages[0].content
    assert told == seen


def test_equal_states_have_equal_keys() -> None:
    env, _ = opened("TowerOfHanoi-v0")
    keys = [env.state_key()]
    for move in ("[A B]", "[B A]", "nonsense"):
        say(env, move)
        keys.append(env.state_key())
    assert keys[0] == keys[2]
    assert len(set(keys)) == 3


def test_a_state_is_the_same_json_in_every_process() -> None:
    class Card:
        def __init__(self) -> None:
            self.rank = 3

    state = {(1, 2): {"b", "a"}, "cards": [Card(), None, 1.5], "text": "x"}
    assert canonical(state) == [
        ["cards", [["Card", [["rank", 3]]], None, 1.5]],
        ["text", "x"],
        [[1, 2], ["a", "b"]],
    ]


def test_rewards_become_outcomes() -> None:
    assert say(opened("TowerOfHanoi-v0")[0], "x", "x").reward == {"outcome": 0.0, "reward": 0.0}
    tries = ["[10]", "[10]", "[10]"]  # is refused twice
    for partial in (False, True):
        env, _ = opened("GuessTheNumber-v0", partial=partial)
        number = env.game.bare.game_number
        step = say(env, *tries)
        near = 1 - abs(number - 10) / 19
        assert step.terminated
        assert step.reward == {"outcome": near if partial else 0.0, "reward": near}
    env, _ = opened("TicTacToe-v0")
    step = say(env, "x", "x")
    assert step.reward == {"outcome": 0.0, "reward": -1.0}
    assert "correct format" in step.messages[0].content


@pytest.mark.parametrize("text", ["", "[", "[" * 9999, "[99999]", f"[{'9' * 9999}]", "\0", "[é]"])
def test_any_text_is_answered(text: str) -> None:
    for game in ("Mastermind-v0", "GuessTheNumber-v0", "TicTacToe-v0", "2048-v0", "Sokoban-v0"):
        env, _ = opened(game)
        step = say(env, text, text, text)
        assert step.messages[0].content
        assert say(env, text).terminated


def test_the_move_may_come_after_long_reasoning() -> None:
    env, _ = opened("GuessTheNumber-v0")
    step = say(env, f"{'Let me think. ' * 1000}[{env.game.bare.game_number}]")
    assert step.reward == {"outcome": 1.0, "reward": 1.0}


def test_a_game_that_raises_at_a_move_is_lost() -> None:
    env, _ = opened("Mastermind-v0")
    env.game.state.game_state["history"] = None
    step = say(env, "[1 2 3 4]")
    assert step.terminated
    assert step.reward == {"outcome": 0.0, "reward": 0.0}
    assert "could not take this move (TypeError" in step.messages[0].content


def test_a_lone_surrogate_can_be_stored() -> None:
    env, _ = opened("Nim-v0")
    say(env, "[\ud800]").messages[0].content.encode()


@pytest.mark.parametrize(
    ("game", "told"),
    [
        ("TikTacToe-v0", "no game 'TikTacToe-v0'"),
        ("Taboo-v0", "is not for one or two players"),
        ("UsedCar-v0-balanced", "cannot make 'UsedCar-v0-balanced': ModuleNotFoundError"),
        ("Tak-v0", "finds no move"),
    ],
)
def test_what_cannot_be_played_is_refused_with_a_reason(game: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        opened(game, seed=1)


def test_a_judge_over_the_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OpenRouter API key not found"):
        opened("Debate-v0")


def test_word_lists_are_asked_for_and_never_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import nltk

    def fetch(*args: Any, **kwargs: Any) -> bool:
        raise AssertionError("it used the network")

    known.cache_clear()
    monkeypatch.setattr(nltk, "download", fetch)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(MissingError, match="needs word lists of nltk") as error:
        first_tasks(TextArenaConfig(game="Hangman-v0"), "test", number=1)
    assert "nltk.downloader" in str(error.value.hint)


def test_a_game_plays_with_its_word_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import nltk

    folder = tmp_path / "corpora" / "words"
    folder.mkdir(parents=True)
    (folder / "README").write_text("words")
    for name in ("en", "en-basic"):
        (folder / name).write_text("apple\nhouse\nriver\n")
    known.cache_clear()
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    env, seen = opened("Hangman-v0")
    assert "Hangman" in seen
    assert not say(env, "[e]").terminated


@pytest.mark.parametrize("payload", [None, {}, {"seed": "1"}])
def test_a_task_of_another_environment_is_refused(payload: Any) -> None:
    with pytest.raises(TaskError, match="no seed"):
        TextArenaConfig().build().reset(Task("2 + 2", payload=payload), seed=0)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textarena", None)
    with pytest.raises(MissingError, match="needs the package textarena"):
        require()


def test_train_and_test_have_different_seeds() -> None:
    config = TextArenaConfig()
    held_out = {task.payload["seed"] for task in config.tasks("test")}
    train = {task.payload["seed"] for task in islice(config.tasks("train"), 1000)}
    assert len(held_out) == 256
    assert held_out.isdisjoint(train)


def test_moves_are_drawn_among_those_shown_then_among_their_like() -> None:
    chance = random.Random(0)
    drawn = list(
        islice(candidates("Moves: '[a 1]' '[pass]'", "[GAME] say [swap X 3]", chance), 200)
    )
    assert set(drawn[:2]) == {"[a 1]", "[pass]"}
    assert all(each.startswith("[swap ") for each in drawn[2:])
    assert {"[swap 1 2]", "[swap X 7]"} <= set(drawn)
    assert next(candidates("", "", chance)).strip("[]").isdigit()
