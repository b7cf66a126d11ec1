"""The limits of a tool: how long a call may take, and how much of its result is kept."""


def missed_by(name: str, value: object) -> str | None:
    """Return what a limit must be, in words, where the value is something else.

    >>> missed_by("timeout_s", 2.5)
    >>> missed_by("max_output_chars", 1e2)
    'a whole number above 0'
    """
    counts = name == "max_output_chars"
    kinds = int if counts else int | float
    if isinstance(value, kinds) and not isinstance(value, bool) and value > 0:
        return None
    return "a whole number above 0" if counts else "a number above 0"
