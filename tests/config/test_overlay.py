from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel, Field, model_validator

from agentgym.config.overlay import render_toml, resolve
from agentgym.config.toml import parse_value, read_toml
from agentgym.errors import ConfigError


class Section(BaseModel, extra="forbid", frozen=True):
    pass


class GRPO(Section):
    name: Literal["grpo"] = "grpo"
    scale: bool = True


class GiGPO(Section):
    name: Literal["gigpo"] = "gigpo"
    scale: bool = False
    step_weight: float = Field(default=1.0, ge=0)


class Optim(Section):
    lr: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.95)
    kind: Literal["adam", "muon"] = "adam"
    steps: int = 10

    @model_validator(mode="after")
    def _lr_is_small(self) -> "Optim":
        if self.lr > 10:
            raise ValueError("lr above 10 never learns")
        return self


class Logging(Section):
    every: int = 1
    path: str | None = None


class Term(Section):
    term: str
    weight: float = 1.0


class Config(Section):
    model: str
    seed: int = 0
    optim: Optim = Optim(lr=0.5)
    credit: Annotated[GRPO | GiGPO, Field(discriminator="name")] = GiGPO()
    logging: Logging | None = Logging(path="log")
    extra: dict[str, Any] = {}
    terms: tuple[Term, ...] = ()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "cfg.toml") -> str:
        Path(name).write_text(text)
        return name

    return write


def refused(*files: str, overrides: tuple[str, ...] = ()) -> tuple[str, str | None]:
    with pytest.raises(ConfigError) as caught:
        resolve(Config, files, overrides)
    return str(caught.value), caught.value.hint


BASE = 'model = "m"\n'


def test_later_files_and_the_command_line_win_key_by_key(write: Any) -> None:
    first = write(BASE + "[optim]\nlr = 0.1\nsteps = 3\n", "a.toml")
    second = write("optim.lr = 0.2\n", "b.toml")
    resolved = resolve(Config, [first, second], ["optim.betas=[0.5]", "seed=7"])
    assert resolved.config == Config(
        model="m", seed=7, optim=Optim(lr=0.2, steps=3, betas=(0.5,)), credit=GiGPO()
    )
    assert resolved.provenance["model"] == "a.toml:1"
    assert resolved.provenance["optim.lr"] == "b.toml:1"
    assert resolved.provenance["optim.steps"] == "a.toml:4"
    assert resolved.provenance["seed"] == "command line"
    assert resolved.provenance["optim.kind"] == "default"


def test_setting_one_key_keeps_what_the_default_of_the_section_sets(write: Any) -> None:
    config = resolve(Config, [write(BASE)], ["optim.steps=3", "credit.scale=true"]).config
    assert config.optim == Optim(lr=0.5, steps=3)
    assert config.credit == GiGPO(scale=True)


def test_naming_another_kind_takes_its_own_defaults(write: Any) -> None:
    assert resolve(Config, [write(BASE)], ["credit.name=grpo"]).config.credit == GRPO()


def test_an_unknown_key_is_refused_with_file_line_and_nearest_name(write: Any) -> None:
    file = write(BASE + "\n[optim]\nlrr = 0.1\n", "bad.toml")
    assert refused(file) == ("bad.toml:4: unknown key `optim.lrr`", "did you mean `optim.lr`?")


def test_a_key_in_the_wrong_section_is_found_by_its_last_part(write: Any) -> None:
    message, hint = refused(write(BASE), overrides=("lr=1",))
    assert message == "command line: unknown key `lr`"
    assert hint == "did you mean `optim.lr`?"


def test_a_key_like_no_other_lists_the_keys_of_its_section(write: Any) -> None:
    _, hint = refused(write(BASE + "[logging]\nzzz = 1"))
    assert hint == "known keys: logging.every, logging.path"


def test_a_key_of_another_kind_names_both_kinds(write: Any) -> None:
    file = write(BASE + '[credit]\nname = "grpo"\nstep_weight = 0.5\n')
    message, hint = refused(file)
    assert message == 'cfg.toml:4: `credit.step_weight` is no key of credit "grpo"'
    assert hint is not None
    assert hint.startswith('"gigpo" has it')


def test_another_kind_on_the_command_line_drops_the_keys_of_the_one_before(write: Any) -> None:
    file = write(BASE + '[credit]\nname = "gigpo"\nstep_weight = 0.5\n')
    assert resolve(Config, [file], ["credit.name=grpo"]).config.credit == GRPO()
    message, _ = refused(file, overrides=("credit.name=grpo", "credit.step_weight=1"))
    assert message == 'command line: `credit.step_weight` is no key of credit "grpo"'


def test_a_section_given_whole_on_the_command_line_replaces_the_one_before(write: Any) -> None:
    file = write(BASE + '[credit]\nname = "gigpo"\nstep_weight = 0.5\n')
    config = resolve(Config, [file], ['credit={name = "grpo", scale = false}']).config
    assert config.credit == GRPO(scale=False)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('[optim]\nlr = "fast"', "`optim.lr` should be a valid number, unable to parse", None),
        ("[optim]\nsteps = true", "`optim.steps` should be a number, not true", None),
        ("[optim]\nsteps = 1.5", "`optim.steps` should be a valid integer", None),
        ('[optim]\nsteps = "null"', "`optim.steps` should be a valid integer, not null", None),
        ('[optim]\nkind = "adan"', "`optim.kind` should be 'adam' or 'muon', not", '"adam"?'),
        ("[optim]\nbetas = [1, 'b']", "`optim.betas.1` should be a valid number", None),
        ("[credit]\nstep_weight = -1", "`credit.step_weight` should be greater than or eq", None),
        ("[credit]\nname = 'gigo'", "unknown credit 'gigo'", 'did you mean "gigpo"?'),
        (
            "\nterms = [{term = 'a', weight = 'b'}]",
            "`terms.0.weight` should be a valid number",
            None,
        ),
        (
            "\n[[terms]]\nterm = 'a'\nweigth = 1",
            "unknown key `terms.0.weigth`",
            "did you mean `terms.0.weight`?",
        ),
        (
            "\nterms = {term = 'a'}",
            "`terms` should be a list, not {term",
            'one alone stands in brackets, too: [{term = "a"}]',
        ),
        ("[extra]\n[model]\nx = 1", "`model` should be a valid string, not {x = 1}", None),
    ],
)
def test_a_wrong_value_is_refused_with_file_and_line(
    write: Any, text: str, message: str, hint: str | None
) -> None:
    found, found_hint = refused(write("# a comment\n" + text))
    assert found.startswith(f"cfg.toml:3: {message}")
    assert found_hint is not None
    assert (hint or "agentgym config show") in found_hint


def test_a_scalar_in_the_place_of_a_section_is_refused(write: Any) -> None:
    message, _ = refused(write(BASE), overrides=("optim=3",))
    assert message == "command line: `optim` should be a table of keys, not 3"


def test_a_rule_over_several_keys_names_the_section(write: Any) -> None:
    message, _ = refused(write(BASE), overrides=("optim.lr=11",))
    assert message == "command line: `optim`: lr above 10 never learns"


def test_a_missing_key_is_named() -> None:
    message, hint = refused()
    assert message == "missing key `model`"
    assert hint == "set it in a file, or give model=... on the command line"


def test_a_missing_key_of_a_list_of_tables_is_named(write: Any) -> None:
    assert refused(write(BASE + "[[terms]]\nweight = 1"))[0] == "missing key `terms.0.term`"


def test_broken_toml_is_refused_with_file_and_line(write: Any) -> None:
    assert refused(write(BASE + "x = \n"))[0] == "cfg.toml:2: not valid TOML: Invalid value"
    assert refused(write(BASE + "x = [1,\n"))[0].startswith("cfg.toml:2: not valid TOML")


def test_a_file_that_is_not_there_is_refused() -> None:
    assert refused("nowhere.toml")[0] == "no configuration file 'nowhere.toml'"


def test_what_is_no_assignment_is_refused() -> None:
    assert refused(overrides=("train",))[0] == "command line: not an assignment: 'train'"
    assert refused(overrides=("a..b=1",))[0] == "command line: not an assignment: 'a..b=1'"


def test_null_and_appending(write: Any) -> None:
    file = write(BASE + "optim.betas = [0.1]")
    resolved = resolve(Config, [file], ["logging=null", "optim.betas+=[0.2]"])
    assert resolved.config.logging is None
    assert resolved.config.optim.betas == (0.1, 0.2)
    assert resolved.provenance["optim.betas"] == "cfg.toml:2, command line"
    for text in ("optim.betas+=3", "terms+=[1]", "seed+=[1]"):
        assert (
            "+=` appends a list to a list that a file sets" in refused(file, overrides=(text,))[0]
        )


def test_lines_of_multi_line_values_and_dotted_headers(tmp_path: Path) -> None:
    file = tmp_path / "lines.toml"
    file.write_text('a = [\n  1,\n  # x = 2\n]\r\n[b."c d"]\ne.f = """\n[no]\n"""\n[[l]]\nx = 1\n')
    found = [(entry.path, entry.line) for entry in read_toml(file)]
    assert found == [(("a",), 1), (("b", "c d"), 5), (("b", "c d", "e", "f"), 6), (("l",), 9)]


def test_values_of_the_command_line_are_toml_or_text() -> None:
    assert parse_value("true") is True
    assert parse_value("1e-3") == 0.001
    assert parse_value("2026-01-01") == "2026-01-01"
    assert parse_value("1\nb = 2") == "1\nb = 2"
    assert parse_value("[" * 5000) == "[" * 5000


texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8).filter(
    lambda text: text != "null"
)
numbers = st.floats(allow_nan=False) | st.integers(-(2**60), 2**60)
scalars = st.booleans() | numbers | texts | st.none()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner.filter(lambda value: value is not None), max_size=3)
        | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=6,
)
configs = st.builds(
    Config,
    model=texts,
    seed=st.integers(-(2**60), 2**60),
    optim=st.builds(
        Optim, lr=st.floats(0, 1), betas=st.lists(st.floats(0, 1), max_size=3).map(tuple)
    ),
    credit=st.builds(GRPO, scale=st.booleans())
    | st.builds(GiGPO, step_weight=st.floats(0, allow_nan=False)),
    logging=st.none() | st.builds(Logging, path=st.none() | texts),
    extra=st.dictionaries(texts, values, max_size=3),
    terms=st.lists(st.builds(Term, term=texts, weight=st.floats(-1, 1)), max_size=2).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(config=configs)
def test_a_rendered_configuration_reads_back_equal(
    config: Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "given.toml").write_text(_as_toml(config), encoding="utf-8")
    resolved = resolve(Config, [folder / "given.toml"])
    assert resolved.config == config
    (folder / "config.toml").write_text(render_toml(resolved), encoding="utf-8")
    again = resolve(Config, [folder / "config.toml"], recorded=True)
    assert again.config == config
    assert again.provenance == resolved.provenance


def _as_toml(config: Config) -> str:
    from agentgym.config.toml import render_key, render_value

    table = config.model_dump()
    return "".join(f"{render_key(key)} = {render_value(value)}\n" for key, value in table.items())


def test_lists_deeper_than_can_be_read_are_refused(tmp_path):
    (tmp_path / "c.toml").write_text("x = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ConfigError, match="lists in lists"):
        read_toml(tmp_path / "c.toml")
