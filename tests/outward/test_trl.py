"""A training of TRL, with an environment of ours as its own: real tool calls, our rewards."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from documents import File, steps

import agentgym as ag
from agentgym.engines.settings import TinyConfig
from agentgym.engines.tiny import make_tiny
from agentgym.envs.calculator import CalculatorConfig
from agentgym.outward.trl import environment_factory, outcome, rows

pytestmark = [
    pytest.mark.soak,
    pytest.mark.outward,
    pytest.mark.filterwarnings("default"),  # the warnings of others are not ours to mend
]
trl = pytest.importorskip("trl", reason="run by the python of .venv-outward")
PAGE = Path(__file__).parents[2] / "docs" / "outward.md"
TASKS = 2
SPLIT = "test"


def conversations(config: ag.EnvConfig) -> list[list[dict[str, Any]]]:
    """What a model says that uses the calculator, for the first tasks, as TRL writes it down."""
    factory = environment_factory(config, split=SPLIT)
    found = []
    for task, row in zip(
        config.tasks(SPLIT), rows(config, number=TASKS, split=SPLIT), strict=False
    ):
        instance: Any = factory()
        messages = [{"role": "user", "content": instance.reset(**row)}]
        script = instance._episode._env.expert(task)
        said = script(list(instance._episode.start.messages))
        (call,) = said.tool_calls
        arguments = json.loads(call.arguments)
        function = {"name": call.name, "arguments": arguments}
        messages += [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": function}],
            },
            {"role": "tool", "name": call.name, "content": instance.calc(**arguments)},
            {"role": "assistant", "content": instance.calc(**arguments)},
        ]
        found.append(messages)
    return found


def taught(folder: Path, config: ag.EnvConfig) -> float:
    """Write a model that knows these conversations by heart; return its last loss."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.chat_template_utils import qwen2_5_chat_template

    tools: list[Any] = [environment_factory(config)().calc]  # type: ignore[attr-defined]
    make_tiny(folder, config=TinyConfig(width=64, layers=2), texts=["x"], seed=0)
    plain = AutoTokenizer.from_pretrained(folder)

    def written(conversation: list[dict[str, Any]]) -> str:
        return str(
            plain.apply_chat_template(
                conversation, tools=tools, tokenize=False, chat_template=qwen2_5_chat_template
            )
        )

    texts = [written(each) for each in conversations(config)]
    make_tiny(folder, config=TinyConfig(width=64, layers=2, max_context=2048), texts=texts, seed=0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = qwen2_5_chat_template
    tokenizer.add_special_tokens(
        {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    )
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    for settings in (model.config, model.generation_config):
        settings.eos_token_id = tokenizer.eos_token_id
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    torch.manual_seed(0)
    loss = torch.tensor(9.0)
    for _ in range(300):
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss < 0.003:
            break
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return loss.item()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trl") / "model"
    assert taught(folder, CalculatorConfig()) < 0.05
    return folder


def test_the_page_trains(model: Path) -> None:
    (file,) = [each for each in steps(PAGE) if isinstance(each, File) and "trl" in each.name]
    ran = subprocess.run(
        [sys.executable, "-c", file.text], cwd=model.parent, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    rewards = json.loads(ran.stdout.splitlines()[-1])
    assert len(rewards) == 2
    assert min(rewards) > 0.5


def test_grpo_trains_on_an_environment_of_ours(model: Path, tmp_path: Path) -> None:
    from datasets import Dataset

    config = CalculatorConfig()
    seen: list[float] = []

    def reward(**given: Any) -> list[float]:
        paid = outcome(**given)
        seen.extend(paid)
        assert paid == [each._episode.reward for each in given["environments"]]
        return paid

    trainer = trl.GRPOTrainer(
        model=str(model),
        reward_funcs=[reward],
        environment_factory=environment_factory(config, split=SPLIT),
        train_dataset=Dataset.from_list(rows(config, number=TASKS, split=SPLIT)),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=2,
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=128,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            seed=0,
        ),
    )
    trainer.train()
    logged = [each for each in trainer.state.log_history if "reward" in each]
    assert len(logged) == 2
    assert len(seen) == 16
    assert sum(seen) / len(seen) > 0.5
    for number, each in enumerate(logged):
        mean = sum(seen[8 * number : 8 * number + 8]) / 8
        assert each["reward"] == pytest.approx(mean)
        assert each["env/outcome"] == pytest.approx(mean)
        assert each["tools/call_frequency"] > 0.5
        assert each["tools/failure_frequency"] == 0.0
