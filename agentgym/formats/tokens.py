"""Tokens that a file gives step by step, as completions and segments."""

from collections.abc import Sequence

from agentgym.formats.atif_ours import OurSegment
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
        _append(segment, shown[len(segment.token_ids) :])
        first = len(segment.token_ids)
        segment.token_ids += sampled
        segment.sampled += [True] * len(sampled)
        segment.logprobs += logprobs
        segment.steps.append((step, first, len(segment.token_ids)))

    def arranged(self, ours: Sequence[OurSegment]) -> list[Segment]:
        """Return the segments as they came to be, where what is known of that fits them."""
        found = iter(self.segments)
        segments = [next(found, Segment()) if each.turns else Segment() for each in ours]
        fits = all(
            len(segment.steps) == each.turns and (each.parent is None or 0 <= each.parent < number)
            for number, (segment, each) in enumerate(zip(segments, ours, strict=True))
        )
        if not fits or next(found, None) is not None:
            return self.segments
        for segment, each in zip(segments, ours, strict=True):
            segment.parent, segment.reason = each.parent, each.reason
            _append(segment, each.rest)
        return segments

    def _continued(self, shown: Sequence[int]) -> Segment:
        if self.segments:
            last = self.segments[-1]
            if list(shown[: len(last.token_ids)]) == last.token_ids:
                return last
            self.segments.append(Segment(parent=len(self.segments) - 1, reason="edit"))
        else:
            self.segments.append(Segment())
        return self.segments[-1]


def _append(segment: Segment, shown: Sequence[int]) -> None:
    segment.token_ids += shown
    segment.sampled += [False] * len(shown)
    segment.logprobs += [0.0] * len(shown)
