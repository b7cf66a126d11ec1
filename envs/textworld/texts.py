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
_END = "\nWould you like to RESTART"


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
    r"""Return what a game says without its prompt, the status line behind it, and empty lines.

    >>> tidied("\nYou take the key.\n\n\n\n>      -= Attic =-0/2")
    'You take the key.'
    """
    text = feedback[: feedback.rfind("\n>")] if "\n>" in feedback else feedback
    if _END in text:
        text = text[: text.index(_END)]
    kept: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped or (kept and kept[-1]):  # at most one empty line
            kept.append(stripped)
    return "\n".join(kept).strip()


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
    return ", ".join(dict.fromkeys(re.sub(r"\[?\{.*?\}\]?", "...", each) for each in templates))
