"""What a call did to the lists, dicts, sets and bytearrays it was given, and to their likes inside."""

from agentgym.grading.inside.plain import flat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MUTABLE = (list, dict, set, bytearray)


class Same:
    """Stands for a container that was there before the call, by its place among them."""

    def __init__(self, place: int) -> None:
        self.place = place


def containers(value: "Any") -> "list[Any]":
    """Return all that can change in a value, each before what it holds.

    What is the same object twice is there twice, as it is after its journey.
    """
    kind = type(value)
    found = [value] if kind in _MUTABLE else []
    if kind in (list, tuple):
        inner = list(value)
    elif kind is dict:
        inner = list(value.values())
    else:
        return found
    for each in inner:
        found += containers(each)
    return found


def contents(before: "list[Any]") -> "list[Any]":
    """Return what containers hold now, as lists; containers of before by their places."""
    places = {id(each): place for place, each in enumerate(before)}

    def seen(value: "Any") -> "Any":
        return Same(places[id(value)]) if id(value) in places else value

    return [[seen(each) for each in _items(container)] for container in before]


def change(before: "list[Any]", now: "list[list[Any]]") -> None:
    """Let containers hold what they hold at the other end."""

    def known(value: "Any") -> "Any":
        return before[value.place] if type(value) is Same else value

    for container, items in zip(before, now):
        values = [known(each) for each in items]
        if type(container) is dict:
            pairs = list(zip(values[::2], values[1::2]))
            container.clear()
            container.update(pairs)
        elif type(container) is set:
            container.clear()
            container.update(values)
        else:
            container[:] = values


def _items(container: "Any") -> "list[Any]":
    return flat(container) if type(container) is dict else list(container)
