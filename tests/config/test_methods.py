import pytest

from agentgym.config.methods import (
    parse_credits,
    parse_shapers,
    recorded_methods,
    split_words,
)
from agentgym.errors import ConfigError
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.credit.salt import SALT
from agentgym.trainers.shaping.outcome import Outcome


def test_settings_belong_to_the_name_before_them() -> None:
    found = parse_credits(["salt,history=1,base.name=rloo,gigpo", "grpo"])
    assert found == {
        "salt,history=1,base.name=rloo": SALT(history=1, base=RLOO()),
        "gigpo": GiGPO(),
        "grpo": GRPO(),
    }


def test_a_word_that_stands_for_a_section_does_so_here() -> None:
    assert parse_shapers(["off"]) == {"off": Outcome()}


def test_commas_inside_of_values_do_not_cut() -> None:
    text = """gigpo, base={name = "grpo", cross_steps = true}, salt"""
    assert parse_credits([text])["salt"] == SALT()
    assert split_words("""a="x,y",b='[,',c=[1,[2,3]],d""") == [
        'a="x,y"',
        "b='[,'",
        "c=[1,[2,3]]",
        "d",
    ]
    levels = parse_shapers(["""gated,levels=[{term="outcome"},{term="valid"}],outcome"""])
    assert [len(shaper.model_dump().get("levels", ())) for shaper in levels.values()] == [2, 0]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("slat", "unknown credit 'slat'", 'did you mean "salt"?'),
        ("salt,histroy=1", "unknown key `credit.histroy`", "did you mean `credit.history`?"),
        ("salt,history=0", "should be greater than or equal to 1", "explain credit.name=salt"),
        ("history=1,salt", "'history=1' is a setting of nothing", "write the name first"),
        (" , ", "names nothing", "for example"),
    ],
)
def test_what_cannot_be_is_said(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_credits([text])
    assert hint in caught.value.hint


def test_a_key_that_a_shaper_must_have_is_asked_for_in_its_list() -> None:
    with pytest.raises(ConfigError, match=r"missing key `shaping\.levels`") as caught:
        parse_shapers(["gated"])
    assert str(caught.value.hint).startswith("write gated,levels=...; ")


def test_words_are_among_the_shapers_that_are_known() -> None:
    with pytest.raises(ConfigError, match="unknown shaping 'gatde'") as caught:
        parse_shapers(["gatde"])
    assert str(caught.value.hint).endswith(", off")


def test_methods_of_a_run_need_no_environment(tmp_path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[env]\nid = "gone.py"\n[credit]\nname = "salt"\nhistory = 2  # here\n')
    methods = recorded_methods(file)
    assert methods.credit == SALT(history=2)
    assert methods.shaping == Outcome()
