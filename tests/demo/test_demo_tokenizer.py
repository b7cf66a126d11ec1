"""The tokenizer in plain Python is the one that its files describe."""

import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from agentgym.demo.tokenizer import WordTokenizer
from agentgym.renderers.chat import ChatRenderer
from agentgym.types import Message, ToolCall, ToolSpec

TOOLS = (ToolSpec("calc", "", {"properties": {"expression": {"type": "string"}}}),)
PLAIN = WordTokenizer(["the key", " door", "up left", "λδ", "x" * 30, "a-b"], TOOLS)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from([*"the key doorλδx \n\t7<|>/=", "🤔"]),
    max_size=60,
) | st.sampled_from(["<|end|>", "a<|user|>b", "<function=calc>", "</parameter>x", "the key door"])  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "t"
    PLAIN.save_pretrained(path)
    return path


@given(text=TEXTS, more=TEXTS)
@settings(max_examples=300, deadline=None)
def test_tokens_are_those_of_the_file(folder, text, more) -> None:
    other = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = text + more
    ids = PLAIN.encode(text)
    assert ids == other.encode(text, add_special_tokens=False).ids
    assert PLAIN.decode(ids) == text
    assert other.decode(ids, skip_special_tokens=False) == text
    assert len(PLAIN) == other.get_vocab_size(with_added_tokens=True)


@given(ids=st.lists(st.integers(0, len(PLAIN) - 1), max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_tokens_are_read_as_the_file_reads_them(folder, ids) -> None:
    other = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert PLAIN.decode(ids) == other.decode(ids, skip_special_tokens=False)


CALLS = st.builds(
    ToolCall,
    st.sampled_from(["calc", "other", ""]),
    st.sampled_from(['{"expression": "1 + 2"}', '{"n": 2.5, "s": "é"}', "{}", '{"expression": ', "[]"]),
    st.just("call_0"),
)  # fmt: skip
MESSAGES = st.one_of(
    st.builds(Message, st.sampled_from(["user", "tool"]), TEXTS | st.just("\ud800")),
    st.builds(Message, st.just("assistant"), TEXTS, st.lists(CALLS, max_size=2).map(tuple)),
)


@given(messages=st.lists(MESSAGES, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_conversations_are_rendered_as_transformers_does(renderers, messages) -> None:
    mine, theirs = renderers
    assert mine.prompt(messages, TOOLS) == theirs.prompt(messages, TOOLS)
    for message in messages:
        if message.role == "assistant":
            assert mine.complete(message) == theirs.complete(message)
        else:
            said = [Message("assistant", "so"), message]
            found = (each.extend([], said, (), known=1) for each in renderers)
            assert next(found) == next(found)


@pytest.fixture(scope="module")
def renderers(folder):
    theirs = ChatRenderer(AutoTokenizer.from_pretrained(folder, local_files_only=True))
    mine = ChatRenderer(PLAIN)
    assert mine.stop_token_ids == theirs.stop_token_ids
    return mine, theirs
