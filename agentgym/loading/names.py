"""What was probably meant by a name that nothing has."""

import difflib
import re
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, if any.

    >>> did_you_mean("keydoor", ["agentgym/Code-v0", "agentgym/KeyDoor-v0"])
    'agentgym/KeyDoor-v0'
    """
    lowered = {each.lower(): each for each in known}
    wanted = name.lower()
    if wanted in lowered:
        return lowered[wanted]
    containing = [each for each in lowered if wanted and wanted in each]
    if len(containing) == 1:
        return lowered[containing[0]]
    stems = {_stem(each): each for each in lowered}
    close = difflib.get_close_matches(_stem(wanted), stems, n=1)
    return lowered[stems[close[0]]] if close else None


def _stem(name: str) -> str:
    """Leave out what names have in common: agentgym/ and -v0 of an id, .py of a file."""
    tail = name.rpartition("/")[2].removesuffix(".py")
    return re.sub(r"-v\d+$", "", tail) or name
