"""Tasks of the kind `words`: one word in another language and script, with a dictionary to look in."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import ClassVar

from agentgym.env import Script
from agentgym.envs.tool_env import ToolEnv
from agentgym.renderers.calls import dump
from agentgym.tools import ToolError, tool
from agentgym.types import OUTCOME, Message, Task, ToolCall

_WORDS = {
    "apple": {"Greek": "μήλο", "Chinese": "苹果", "Hebrew": "תפוח", "Hindi": "सेब", "emoji": "🍎"},
    "house": {"Greek": "σπίτι", "Chinese": "房子", "Arabic": "بيت", "Thai": "บ้าน", "emoji": "🏠"},
    "family": {"French": "famille", "Korean": "가족", "Russian": "семья", "emoji": "👨‍👩‍👧‍👦"},
    "flag": {"Swedish": "flagga för", "Japanese": "旗", "Vietnamese": "lá cờ", "emoji": "🏳️‍🌈"},
}


def tasks(split: str) -> Iterator[Task]:
    """Yield words without end; in `test` their order is another one."""
    pairs = [(word, language) for word, known in _WORDS.items() for language in known]
    for number, (word, language) in enumerate(cycle(pairs[::-1] if split == "test" else pairs)):
        question = f"What is “{word}” in {language}? Answer with the word alone."
        answer = _WORDS[word][language]
        yield Task(question, id=f"words-{split}-{word}-{number}", answer=answer, split=split)


class Words(ToolEnv):
    """The right word and nothing else is 1; with anything around it 0.5."""

    system: ClassVar[str] = "You translate single words. Traduis, переведи, 翻译, ترجم."

    @tool(inline=True)
    def look_up(self, word: str) -> dict[str, str]:
        """Show what a word is in other languages.

        Args:
            word: In English.
        """
        if word not in _WORDS:
            raise ToolError(f"{word!r} is not in the dictionary")
        return _WORDS[word]

    def score(self, text: str) -> dict[str, float]:
        """Compare the answer."""
        answer = self.task.answer
        share = 1.0 if text.strip() == answer else 0.5 * (answer in text)
        return {OUTCOME: share}

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the script that looks up, then answers."""
        if level != "expert":
            return super().expert(task, seed=seed, level=level)
        call = ToolCall(
            "look_up", dump({"word": task.prompt.split("“")[1].split("”")[0]}), "call_0"
        )

        def script(conversation: Sequence[Message]) -> Message:
            if any(message.role == "assistant" for message in conversation):
                return Message("assistant", task.answer)
            return Message("assistant", tool_calls=(call,))

        return script
