"""Files of other programs, as small as they can be."""

from typing import Any

ATIF: dict[str, Any] = {
    "schema_version": "ATIF-v1.6",
    "session_id": "s-1",
    "agent": {"name": "terminus", "version": "2", "model_name": "m"},
    "steps": [
        {"step_id": 1, "timestamp": "2026-01-01T00:00:00Z", "source": "user", "message": "Fix it."},
        {
            "step_id": 2,
            "source": "agent",
            "message": [{"type": "text", "text": "I look."}, {"type": "image", "source": {}}],
            "reasoning_content": "Where?",
            "tool_calls": [{"tool_call_id": "c", "function_name": "ls", "arguments": {"a": "é"}}],
            "observation": {
                "results": [{"source_call_id": "c", "content": "x.py"}, {"content": None}]
            },
            "metrics": {"prompt_tokens": 5, "cost_usd": 0.5, "completion_token_ids": [7, 8]},
        },
        {"step_id": 3, "source": "system", "message": "Hurry."},
        {
            "step_id": 4,
            "timestamp": "2026-01-01T00:00:02+00:00",
            "source": "agent",
            "message": "Done.",
            "metrics": {
                "prompt_token_ids": [1, 2],
                "completion_token_ids": [3],
                "logprobs": [-0.5],
            },
        },
    ],
}
SAMPLE: dict[str, Any] = {
    "id": 1,
    "epoch": 1,
    "target": "x",
    "messages": [
        {"role": "user", "content": "attachment://ab12", "tool_call_id": ["c"]},
        {
            "role": "assistant",
            "content": [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Yes"}],
        },
    ],
    "attachments": {"ab12": "Really?"},
}
EVAL: dict[str, Any] = {"eval": {"task": "t", "model": "m"}}
EVENT: dict[str, Any] = {
    "event": "model",
    "timestamp": "2026-01-01T00:00:02+00:00",
    "tools": [{"name": "f", "description": "attachment://ab12", "parameters": {"type": "object"}}],
    "output": {
        "choices": [{"message": {"id": "m-1"}}],
        "usage": {
            "input_tokens": 3,
            "input_tokens_cache_read": 4,
            "input_tokens_cache_write": 6,
            "output_tokens": 5,
            "total_cost": 0.25,
        },
        "time": 0.5,
    },
}
TURN: dict[str, Any] = {
    "action": "ls",
    "observation": "x.py",
    "response": "I look.",
    "thought": "I look.",
    "execution_time": 0.5,
    "state": {},
    "query": [{"role": "system", "content": "You fix."}, {"role": "user", "content": "An issue."}],
    "extra_info": {},
}
HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "You fix.", "agent": "main", "message_type": "system_prompt"},
    {"role": "assistant", "content": "As shown.", "is_demo": True, "message_type": "demonstration"},
    {"role": "user", "content": "An issue.", "message_type": "observation"},
    {
        "role": "assistant",
        "content": "I look.",
        "message_type": "action",
        "thought": "I look.",
        "action": "ls",
        "tool_calls": [
            {
                "id": "c",
                "type": "function",
                "function": {"name": "bash", "arguments": '{"c": "ls"}'},
            }
        ],
    },
    {
        "role": "tool",
        "content": [{"type": "text", "text": "OBSERVATION:\nx.py"}],
        "message_type": "observation",
        "tool_call_ids": ["c"],
    },
]
SWE_AGENT: dict[str, Any] = {
    "environment": "repo__issue-1",
    "trajectory": [TURN],
    "history": HISTORY,
    "info": {"exit_status": "submitted", "submission": "diff", "model_stats": {}},
    "replay_config": "{}",
}
MESSAGES: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url"}]},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [{"function": {"name": "f", "arguments": {"x": "é"}}}],
    },
    {"role": "function", "content": "3"},
    {"role": "assistant", "content": "Three."},
]
