from pathlib import Path

import pytest

from agentgym.config.methods import recorded_methods
from agentgym.config.run import recorded, resolve_words
from agentgym.errors import ConfigError
from agentgym.trainers.credit import CreditConfig
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.empg import EMPG
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO

ENV = '[env]\nid = "agentgym/KeyDoor-v0"\n'


def record(folder: Path, credit: str) -> Path:
    (folder / "run.json").write_text("{}")
    file = folder / "config.toml"
    file.write_text(ENV + credit)
    return file


def read_everywhere(file: Path) -> list[CreditConfig]:
    """As those who compute again, who go on, and who begin another training have it."""
    runs = (recorded(file), resolve_words([str(file)]))
    return [recorded_methods(file).credit, *(each.config.credit for each in runs)]


@pytest.mark.parametrize(
    ("norm", "stats", "base"),
    [
        ("mean_norm", "cross_steps", DrGRPO(cross_steps=True, singletons="raw")),
        ("mean_std_norm", "per_trajectory", GRPO(singletons="raw")),
    ],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_gigpo_of_an_earlier_record_is_read_as_it_is_written_now(
    tmp_path: Path, norm: str, stats: str, base: GRPO | DrGRPO, is_nested: bool
) -> None:
    section = '[credit]\nname = "empg"\n[credit.base]\n' if is_nested else "[credit]\n"
    file = record(
        tmp_path,
        f'{section}name = "gigpo"\ngamma = 0.9\nnorm = "{norm}"\n'
        f'episode_stats = "{stats}"  # command line\nsingletons = "raw"\n',
    )
    gigpo = GiGPO.model_validate({"gamma": 0.9, "norm": norm, "base": base})
    expected = EMPG(base=gigpo) if is_nested else gigpo
    assert read_everywhere(file) == [expected] * 3
    key = "credit.base.base.cross_steps" if is_nested else "credit.base.cross_steps"
    assert recorded(file).provenance[key] == "command line"


def test_compat_of_an_earlier_record_has_the_base_that_counted(tmp_path: Path) -> None:
    file = record(
        tmp_path,
        '[credit]\nname = "gigpo"\ncompat = true\n'
        '[credit.base]\nname = "grpo"\ncross_steps = false\nsingletons = "zero"\n',
    )
    assert read_everywhere(file) == [GiGPO(compat=True)] * 3


def test_what_is_no_record_is_not_rewritten(tmp_path: Path) -> None:
    file = record(tmp_path, '[credit]\nname = "gigpo"\nepisode_stats = "cross_steps"\n')
    (tmp_path / "run.json").unlink()
    with pytest.raises(ConfigError, match="episode_stats"):
        resolve_words([str(file)])
