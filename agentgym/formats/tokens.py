"""Tokens that a file gives step by step, as completions and segments."""

from collections.abc import Sequence

from agentgym.types import Segment


class Streams:
    """Joins what each step was shown and what it sampled, as long as the one continues the other."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []

    def add(
        self, step: int, shown: Sequence[int], sampled: Sequence[int], logprobs: Sequence[float]
    ) -> None:
        """Append a step; what it was shown begins another segment where it is no continuation."""
        segment = self._continued(shown)
        new = shown[len(segment.token_ids) :]
        segment.token_ids += new
        segment.sampled += [False] * len(new)
        segment.logprobs += [0.0] * len(new)
        first = len(segment.token_ids)
        segment.token_ids += sampled
        segment.sampled += [True] * len(sampled)
        segment.logprobs += logprobs
        segment.steps.append((step, first, len(segment.token_ids)))

    def _continued(self, shown: Sequence[int]) -> Segment:
        if self.segments:
            last = self.segments[-1]
            if list(shown[: len(last.token_ids)]) == last.token_ids:
                return last
            self.segments.append(Segment(parent=len(self.segments) - 1, reason="edit"))
        else:
            self.segments.append(Segment())
        return self.segments[-1]
