"""The pages and their answers as one HTML file, in which nothing runs but the pages' own script."""

import base64
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from agentgym.errors import ConfigError

_BEFORE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>agentgym</title>
<style>{style}</style>
<div id="app"></div>
<script type="application/json" id="shared">"""
_BEHIND = """</script>
<script type="module">{script}</script>
</html>
"""


class Page(NamedTuple):
    """The file before and behind what is in it."""

    before: bytes
    behind: bytes

    def with_content(self, content: bytes) -> bytes:
        """Return the file; `content` is gzip of JSON, which stands in a block that is no program."""
        return b"".join((self.before, base64.b64encode(content), self.behind))


def make_page(static: Mapping[str, bytes]) -> Page:
    """Return the pages as one file; `static` are the files that they come in.

    Raises:
        ConfigError: this build has no pages.
    """
    if "app.js" not in static:
        raise ConfigError("this build has no pages to share", hint="build them: make viewer")
    script = static["app.js"].decode().replace("</script", "<\\/script")
    style = static.get("app.css", b"").decode().replace("</style", "<\\/style")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    before = _BEFORE.format(policy=policy, style=style)
    return Page(before.encode(), _BEHIND.format(script=script).encode())


def _digest(text: str) -> str:
    found = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(found).decode()}'"
