"""What Gymnasium's own documentation says about environments and their spaces do not."""

from typing import NamedTuple


class Known(NamedTuple):
    """The words for one class of environments."""

    rules: str
    actions: tuple[str, ...]
    """The names of the actions, in their order."""
    invalid_reward: float = 0.0
    """Of a turn that is no action: where every turn costs something, silence must not be cheaper."""


KNOWN = {
    "FrozenLakeEnv": Known(
        "Cross the frozen lake to the goal G without falling into a hole H. F is ice, S the start. "
        "You stand on the letter in <red>.",
        ("left", "down", "right", "up"),
    ),
    "CliffWalkingEnv": Known(
        "Walk to the target T. You are x. The cliff C costs 100 and puts you back to the start; "
        "every step costs 1.",
        ("up", "right", "down", "left"),
        invalid_reward=-1.0,
    ),
    "TaxiEnv": Known(
        "Fetch the passenger and bring them to where they want to go. The taxi is <yellow> when it "
        "is empty and <green> when the passenger is in it; the passenger waits at the <blue> "
        "letter and wants to go to the <magenta> one. Walls are |. Every step costs 1, a wrong "
        "pickup or dropoff 10; the right dropoff gives 20.",
        ("south", "north", "east", "west", "pickup", "dropoff"),
        invalid_reward=-1.0,
    ),
    "BlackjackEnv": Known(
        "Come closer to 21 than the dealer without going beyond. The numbers are your sum, the "
        "card that the dealer shows, and 1 if you have an ace that counts 11.",
        ("stick", "hit"),
        invalid_reward=-1.0,
    ),
}
"""By the name of the class; of any other, the names of its actions may stand in the configuration."""
