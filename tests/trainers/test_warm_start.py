import pytest
import torch

from agentgym.engines.tiny import TinyConfig, make_tiny
from agentgym.envs.calculator import CalculatorConfig
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.scripted import scripted_policies
from agentgym.trainers.policy import TrainerPolicy
from agentgym.trainers.settings import WarmStartConfig
from agentgym.trainers.warm_start import demonstrations, imitate


@pytest.fixture
async def played():
    env = CalculatorConfig()
    tasks = [task for task, _ in zip(env.tasks("train"), range(8), strict=False)]
    jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="warm", env=env.id)
    return await collect(jobs, config=env, make_policy=scripted_policies("scripted"))


@pytest.fixture
def loaded(played, tmp_path):
    from agentgym.engines.model import ModelConfig, load_model

    texts = [message.content for trajectory in played for message in trajectory.messages]
    tools = [tool for trajectory in played for tool in trajectory.tools]
    tiny = TinyConfig(layers=1, width=32, heads=2, max_context=512)
    make_tiny(tmp_path / "model", config=tiny, texts=texts, tools=tools, seed=0)
    return load_model(ModelConfig(path=str(tmp_path / "model")))


def test_only_the_teachers_messages_are_imitated(played, loaded):
    from agentgym.renderers.chat import ChatRenderer

    renderer = ChatRenderer(loaded.tokenizer)
    rows = demonstrations(played, renderer, max_context=512)
    assert len(rows) == len(played)
    for row, trajectory in zip(rows, played, strict=True):
        expected = [token for step in trajectory.steps for token in renderer.complete(step.message)]
        assert row.token_ids[row.loss_mask].tolist() == expected
        for step in trajectory.steps[:-1]:
            for reply in step.replies:
                assert reply.content in renderer.decode(row.token_ids[~row.loss_mask].tolist())


def test_what_does_not_fit_or_ended_by_a_fault_is_left_out(played, loaded):
    from agentgym.renderers.chat import ChatRenderer

    renderer = ChatRenderer(loaded.tokenizer)
    lengths = [len(row.token_ids) for row in demonstrations(played, renderer, max_context=512)]
    played[0].end = "error"
    rows = demonstrations(played, renderer, max_context=max(lengths[1:]) - 1)
    assert 0 < len(rows) < len(played)


def test_the_loss_falls_and_the_same_seed_gives_the_same_losses(played, loaded):
    import copy

    from agentgym.renderers.chat import ChatRenderer

    rows = demonstrations(played, ChatRenderer(loaded.tokenizer), max_context=512)
    config = WarmStartConfig(steps=30, batch_size=4, lr=1e-2)
    runs = []
    for _ in range(2):
        policy = TrainerPolicy(copy.deepcopy(loaded.model))
        runs.append(
            list(imitate(policy, rows, config=config, grad_clip=1.0, max_tokens=512, seed=1))
        )
    assert runs[0] == runs[1]
    assert sum(runs[0][-5:]) < 0.3 * sum(runs[0][:5])
    assert torch.isfinite(torch.tensor(runs[0])).all()


def test_what_cannot_be_appended_is_another_row_and_no_answer_is_imitated_twice(played, loaded):
    from agentgym.renderers.chat import ChatRenderer

    class Forgetful(ChatRenderer):
        def extend(self, token_ids, messages, tools, *, known):
            return None

    renderer = Forgetful(loaded.tokenizer)
    rows = demonstrations(played, renderer, max_context=512)
    answers = [(t, n) for t in played for n in range(len(t.steps))]
    assert len(rows) == len(answers) > len(played)
    for row, (trajectory, number) in zip(rows, answers, strict=True):
        answer = renderer.complete(trajectory.steps[number].message)
        assert row.token_ids[row.loss_mask].tolist() == answer
        assert row.token_ids[-len(answer) :].tolist() == answer
