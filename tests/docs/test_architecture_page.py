import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_every_layer_is_there_and_every_part_is_in_a_layer() -> None:
    (layers,) = re.findall(r"```\n(agentgym\.cli.*?)```", PAGE, re.DOTALL)
    named = set(re.findall(r"agentgym\.(\w+)", layers))
    parts = {path.stem for path in (ROOT / "agentgym").iterdir() if path.name[0] not in "_."}
    assert named == parts - {"version", "py"}


def test_every_file_that_heads_a_row_is_there() -> None:
    table = PAGE.partition("## Where things are")[2].partition("## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    paths = [path for cell in cells for path in re.findall(r"`([\w./]+)`", cell)]
    assert len(paths) > 20
    folder = ROOT
    for path in paths:  # those after the first of a row stand beside it
        beside = [each / path for each in (ROOT, folder, folder.parent)]
        assert any(each.exists() for each in beside), path
        folder = next(each for each in beside if each.exists()).parent
