import re
from pathlib import Path

from agentgym.formats import READERS, WRITERS

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")


def test_the_page_has_every_format() -> None:
    for reader in READERS:
        assert PAGE.count(f"| {reader.name.removeprefix('OpenAI ')}") >= 1, reader.name
    written = re.findall(r"^\| `--(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(written) == sorted(WRITERS)
