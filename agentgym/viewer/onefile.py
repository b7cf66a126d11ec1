"""The pages and their answers as one HTML file, in which nothing runs but the pages' own script."""

import base64
import gzip
import hashlib
from collections.abc import Mapping
from typing import Any

from agentgym.errors import ConfigError
from agentgym.viewer.answers import encode

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>agentgym</title>
<style>{style}</style>
<div id="app"></div>
<script type="application/json" id="shared">{data}</script>
<script type="module">{script}</script>
</html>
"""


def make_page(shared: Mapping[str, Any], static: Mapping[str, bytes]) -> bytes:
    """Return the file; `static` are the files of the pages.

    What models wrote is in it as compressed base64, in a block that is no program.

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
    data = base64.b64encode(gzip.compress(encode(shared), mtime=0)).decode()
    return _PAGE.format(policy=policy, style=style, data=data, script=script).encode()


def _digest(text: str) -> str:
    found = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(found).decode()}'"
