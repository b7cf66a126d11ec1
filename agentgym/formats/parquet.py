"""Writing Parquet: a row an episode, for data frames and for datasets of Hugging Face."""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

from agentgym.errors import MissingError
from agentgym.formats.writer import Writer, valid
from agentgym.types import OUTCOME, Message, Step, Trajectory

_ROWS = 64  # in memory at once
_BYTES = 64 << 20  # of text and tokens in memory at once, so that long episodes are written sooner
_FLAT = (
    "id",
    "group_id",
    "member",
    "attempt",
    "seed",
    "policy",
    "parent_id",
    "fork_step",
    "end",
    "reason",
    "seconds",
)


class ParquetWriter(Writer):
    """Writes rows; `messages` of them is what chat templates take, the rest stands beside it.

    Raises:
        MissingError: pyarrow is not installed.
    """

    def __init__(self, file: BinaryIO) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            hint = "pip install 'agentgym-framework[parquet]'"
            raise MissingError("Parquet is written by pyarrow", hint=hint) from error
        self._arrow = pyarrow
        self._schema = _schema(pyarrow)
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def add(self, trajectory: Trajectory) -> str | None:
        """Write an episode."""
        self._rows.append(to_row(trajectory))
        self._size += _weight(trajectory)
        if len(self._rows) >= _ROWS or self._size >= _BYTES:
            self._flush()
        return None

    def finish(self) -> None:
        """Write what is left, and the footer, without which the file cannot be read."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            table = self._arrow.Table.from_pylist(self._rows, schema=self._schema)
            self._writer.write_table(table)
        self._rows = []
        self._size = 0


def to_row(trajectory: Trajectory) -> dict[str, Any]:
    """Return an episode as a row. `outcome` is null where none was recorded."""
    known = any(OUTCOME in step.reward_terms for step in trajectory.steps)
    task = trajectory.task
    row = {name: getattr(trajectory, name) for name in _FLAT} | {
        "env": task.env,
        "split": task.split,
        "task_id": task.id,
        "task": _json({"prompt": task.prompt, "answer": task.answer, "payload": task.payload}),
        "tools": _json([tool.to_openai() for tool in trajectory.tools]),
        "outcome": trajectory.outcome if known else None,
        "messages": [_message(message) for message in trajectory.messages],
        "prompt_messages": len(trajectory.prompt),
        "steps": [_step(step) for step in trajectory.steps],
    }
    return {name: valid(each) if isinstance(each, str) else each for name, each in row.items()}


def _step(step: Step) -> dict[str, Any]:
    done = step.completion
    return {
        "replies": len(step.replies),
        "reward_terms": [(valid(name), value) for name, value in step.reward_terms.items()],
        "state_key": _valid(step.state_key),
        "next_state_key": _valid(step.next_state_key),
        "action_key": valid(step.action_key),
        "token_ids": list(done.token_ids) if done else None,
        "logprobs": list(done.logprobs) if done else None,
        "finish_reason": done.finish_reason if done else None,
        "version": done.versions[0][1] if done else None,
        "usage": [(valid(name), value) for name, value in step.usage.items()],
        "timed_out": step.timed_out,
        "started_s": step.timings.started_s,
        "generate_s": step.timings.generate_s,
        "env_s": step.timings.env_s,
    }


def _message(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "content": valid(message.content),
        "tool_calls": [
            {
                "id": valid(call.id),
                "type": "function",
                "function": {"name": valid(call.name), "arguments": valid(call.arguments)},
            }
            for call in message.tool_calls
        ],
        "tool_call_id": _valid(message.tool_call_id),
    }


def _valid(text: str | None) -> str | None:
    return None if text is None else valid(text)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _weight(trajectory: Trajectory) -> int:
    """Return about how many bytes an episode takes."""
    texts = sum(len(message.content) for message in trajectory.messages)
    return texts + 64 * trajectory.num_sampled


def _schema(arrow: Any) -> Any:
    text, real, whole = arrow.string(), arrow.float64(), arrow.int64()
    function = arrow.struct({"name": text, "arguments": text})
    call = arrow.struct({"id": text, "type": text, "function": function})
    message = {"role": text, "content": text, "tool_calls": arrow.list_(call), "tool_call_id": text}
    step = {
        "replies": whole,
        "reward_terms": arrow.map_(text, real),
        "state_key": text,
        "next_state_key": text,
        "action_key": text,
        "token_ids": arrow.list_(arrow.int32()),
        "logprobs": arrow.list_(arrow.float32()),
        "finish_reason": text,
        "version": whole,
        "usage": arrow.map_(text, real),
        "timed_out": arrow.bool_(),
        "started_s": real,
        "generate_s": real,
        "env_s": real,
    }
    names: Mapping[str, Any] = {
        **dict.fromkeys(("id", "group_id", "env", "split", "task_id", "task", "policy"), text),
        **dict.fromkeys(("member", "attempt", "seed"), whole),
        **dict.fromkeys(("parent_id", "end", "reason"), text),
        "fork_step": whole,
        **dict.fromkeys(("outcome", "seconds"), real),
        "tools": text,
        "messages": arrow.list_(arrow.struct(message)),
        "prompt_messages": whole,
        "steps": arrow.list_(arrow.struct(step)),
    }
    return arrow.schema(list(names.items()))
