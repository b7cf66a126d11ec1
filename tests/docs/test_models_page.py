import os
import sys
from pathlib import Path

import pytest
from chat_server import ChatServer, as_expert
from documents import follow

from agentgym.envs.calculator.env import CalculatorConfig

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
URL = "http://localhost:8000/v1"


def test_the_page_shows_what_the_commands_print(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with ChatServer(as_expert(CalculatorConfig())) as server:
        page = tmp_path / "models.md"
        page.write_text(PAGE.read_text().replace(URL, server.url))
        assert follow(page, tmp_path, env={"PATH": path, "NO_PROXY": "*"}) == 3
        assert len(server.asked) == 40
