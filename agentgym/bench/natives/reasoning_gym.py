"""reasoning-gym: a question from its dataset, the answer taken out of the text, and scored."""

from collections.abc import Sequence

from agentgym.bench.natives import Native, Play
from agentgym.env import EnvConfig
from agentgym.envs.reasoning_gym import ReasoningGymConfig
from agentgym.envs.reasoning_gym.questions import CHUNK, Source, dataset
from agentgym.types import Message, Task


def native(config: EnvConfig) -> Native:
    """Play without agentgym."""
    assert isinstance(config, ReasoningGymConfig)
    from reasoning_gym.utils import extract_answer

    def prepare(task: Task, messages: Sequence[Message]) -> Play:
        payload = task.payload
        source = Source(*(payload[field] for field in Source._fields))
        chunk, place = divmod(payload["place"], CHUNK)
        made = dataset(source, chunk)
        texts = [message.content for message in messages]

        def play() -> int:
            entry = made[place]
            for text in texts:
                made.score_answer(extract_answer(text), entry)
            return len(texts)

        return play

    return Native("reasoning_gym", prepare)
