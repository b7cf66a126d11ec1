"""What every engine asks of the ids it is given."""

from collections.abc import Sequence

from agentgym.errors import EngineError


def check_prompt(token_ids: Sequence[int], *, max_context: int, vocabulary: int) -> None:
    """Raise EngineError unless ids are known and leave room: an unknown one may end an engine."""
    if not 0 < len(token_ids) < max_context:
        raise EngineError(
            f"a prompt of {len(token_ids)} tokens: it must have 1 to {max_context - 1}, "
            f"so that there is room for an answer in a context of {max_context}"
        )
    if not 0 <= min(token_ids) <= max(token_ids) < vocabulary:
        raise EngineError(f"token ids must be from 0 to {vocabulary - 1}")
