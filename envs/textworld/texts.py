"""What goes into a game and comes out of it: commands that are safe, texts without decoration."""

import re

_MAX_CHARS = 150  # an interpreter of the Z-machine reads 198

# Words to the interpreter, not to the game. They write files, end the program, or set the game
# back so that nobody knows its state. Interpreters may look at the first six letters only.
_OUTSIDE = re.compile(
    r"(^|[.,;:!?\"]|\bthen\b|\band\b)\s*"
    r"((save|undo|quit|oops|q|o|restrict)\b|tw-|[#$@*]"
    r"|restor|restar|script|transc|noscri|unscri|record|replay|comman)"
    r"|\\",
    re.IGNORECASE,
)
_PROMPT = re.compile(r"\s*\n>[^\n]*\Z")  # and the status line behind it
_BLANK_LINES = re.compile(r"\s*\n\s*\n\s*")
_AFTER_THE_END = re.compile(r"\s*Would you like to RESTART.*\Z", re.DOTALL)


def problem_of(command: str) -> str | None:
    """Return what keeps a text from being said to a game; None: nothing.

    >>> problem_of("take the type Q key from the chest")
    >>> problem_of("look. save")
    'it speaks to the program, not to the game'
    """
    if not command:
        return "it is empty"
    if len(command) > _MAX_CHARS:
        return f"it is longer than {_MAX_CHARS} characters"
    if "\n" in command:
        return "it is more than one line"
    if not (command.isascii() and command.isprintable()):
        return "it has characters that the game cannot read"
    if _OUTSIDE.search(command):
        return "it speaks to the program, not to the game"
    return None


def tidied(feedback: str) -> str:
    r"""Return what a game says without its prompt, status line and empty lines.

    >>> tidied("\nYou take the key.\n\n\n\n>      -= Attic =-0/2")
    'You take the key.'
    """
    text = _AFTER_THE_END.sub("", _PROMPT.sub("", feedback))
    lines = (line.strip() for line in _BLANK_LINES.sub("\n\n", text).splitlines())
    return "\n".join(lines).strip()


def opening(feedback: str, objective: str | None) -> str:
    """Return the first text of a game from its objective on, without the drawing above it."""
    place = feedback.find(objective) if objective else -1
    if place < 0:
        place = max(feedback.rfind("$$") + 2, 0) if "$$$" in feedback else 0
    return tidied(feedback[max(place, 0) :])


def forms_of(templates: list[str]) -> str:
    """Return the forms of commands that a game understands, without the types of things.

    >>> forms_of(["go east", "open {c}", "open {d}", "put {o} on {s}"])
    'go east, open ..., put ... on ...'
    """
    return ", ".join(dict.fromkeys(re.sub(r"\{.*?\}", "...", each) for each in templates))
