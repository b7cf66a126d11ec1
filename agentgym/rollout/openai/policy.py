"""The policy: a conversation goes out, a message comes back."""

from collections.abc import Sequence

from agentgym.env import Env
from agentgym.rollout.openai.client import Client
from agentgym.rollout.openai.request import make_request
from agentgym.rollout.policy import MakePolicy, Policy, Reply
from agentgym.types import Message, Task, ToolSpec


class OpenAIPolicy(Policy):
    """A model behind a URL. Its steps carry no tokens of ours and are never trained on."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def keeps_time(self) -> bool:
        """Its requests have limits of their own."""
        return True

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Ask for the next message.

        Raises:
            ContextFull: the conversation is too long for the model, or is filtered.
            PolicyError: the server did not answer.
            BudgetError, ConfigError: going on with the run is pointless.
        """
        request = make_request(self._client.config, messages, tools, seed=seed)
        taken = {call.id for message in messages for call in message.tool_calls}
        answer = await self._client.ask(request, taken_ids=taken)
        return Reply(answer.message, usage=answer.usage)


def openai_policies(client: Client) -> MakePolicy:
    """Return the maker of policies that ask the model of a client."""

    def make(env: Env, task: Task, seed: int) -> Policy:
        return OpenAIPolicy(client)

    return make
