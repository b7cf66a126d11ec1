"""Partial credit for programs that failed, by what they printed on the way."""

from collections.abc import Iterable


def milestone_reward(
    output: str,
    milestones: Iterable[str],
    *,
    score: float | None,
    each: float = 0.1,
    failure: float = -10.0,
) -> float:
    """Return the score of a valid solution; of a failed one `failure` plus `each` per milestone.

    Who calls it has another, frozen model put print statements into the program ("data loaded"),
    so that the policy cannot earn a milestone by printing it. One that is printed often counts
    once.

    Args:
        output: what the program printed.
        milestones: the texts to look for.
        score: of a valid solution, the authors' between -1 and 1; None: the program failed.
        each: what a milestone is worth.
        failure: the reward of a program that reached none.

    Raises:
        ValueError: `milestones` is one text, or one of them is empty.

    Source: arXiv:2509.01684 (ICLR 2026), environment instrumentation. Reconstructed: the figures
    are from a reader's note; that a failed run gets their sum is from a public re-implementation
    on verl (`compute_instrumented_score`), which adds the milestones to valid scores, too.

    >>> milestone_reward("data loaded. Killed", ["data loaded", "model trained"], score=None)
    -9.9
    """
    if isinstance(milestones, str):
        raise ValueError(f"milestones should be several texts, not the text {milestones!r}")
    texts = set(milestones)
    if "" in texts:
        raise ValueError("a milestone is empty: every output has it")
    if score is not None:
        return score
    return failure + each * sum(text in output for text in texts)
