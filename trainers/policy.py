"""The policy as the trainer sees it: log-probabilities of given tokens, with gradients."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from agentgym.errors import ConfigError

_WHOLE_LOGITS = 1 << 24  # elements of logits that are kept for the backward pass: 64 MiB
_CHUNK_LOGITS = 1 << 26  # elements of one recomputed chunk: 256 MiB in float32


class TokenStats(NamedTuple):
    """What the policy thinks of given tokens; 0 where it was not asked."""

    logprobs: Tensor
    """[B, T] float32"""
    entropy: Tensor
    """[B, T] float32, in nats, of the distribution the token was drawn from."""


class TrainerPolicy:
    """A causal language model of transformers, with the shift between logits and tokens inside.

    Weights are kept as they came (float32 to train); with `bf16` the matrix products run in
    bfloat16. Dropout is off, so that the log-probabilities are those of the engine.
    """

    def __init__(
        self,
        model: Any,
        *,
        temperature: float = 1.0,
        bf16: bool = False,
        activation_checkpointing: bool = False,
    ) -> None:
        self.model = model
        self._temperature = temperature or 1.0
        self._bf16 = bf16
        self._activation_checkpointing = activation_checkpointing
        _disable_dropout(model)
        if activation_checkpointing:
            _checkpoint_activations(model)
        _check_head(model)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield what is trained."""
        return iter(self.model.parameters())

    def stats(self, token_ids: Tensor, mask: Tensor, *, entropy_grad: bool = True) -> TokenStats:
        """Return log p(token t | tokens before t) where `mask`, [B, T], is True.

        Natural log of softmax(logits / temperature). Rows are padded on the right with any
        token: a causal model does not look ahead, so that no attention mask is needed. Only the
        positions in the mask pay for logits, and `entropy_grad=False` saves its backward pass.
        """
        # transformers recomputes activations in training mode only; an engine wants the other.
        self.model.train(self._activation_checkpointing)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            hidden = self.model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
            wanted = mask[:, 1:]
            logprobs, entropy = self._head(
                hidden[:, :-1][wanted], token_ids[:, 1:][wanted], entropy_grad
            )
        return TokenStats(_spread(logprobs, mask), _spread(entropy, mask))

    @torch.no_grad()
    def logprobs(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Return [L - 1] of one row, at temperature 1: what `Engine.logprobs` must agree with."""
        ids = torch.tensor([token_ids], device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            logits = self.model(input_ids=ids[:, :-1], use_cache=False).logits
        found = logits.float().log_softmax(-1).gather(-1, ids[:, 1:, None])
        return tuple(found.flatten().tolist())

    def _head(self, hidden: Tensor, targets: Tensor, entropy_grad: bool) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy of each target, without all logits at once."""
        head = self.model.get_output_embeddings()
        vocabulary = head.weight.shape[0]
        if hidden.shape[0] * vocabulary <= _WHOLE_LOGITS:
            return _read(head, hidden, targets, self._temperature, entropy_grad)
        rows = max(1, _CHUNK_LOGITS // vocabulary)
        parts = [
            checkpoint(_read, head, some, ids, self._temperature, entropy_grad, use_reentrant=False)
            for some, ids in zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _read(
    head: nn.Module, hidden: Tensor, targets: Tensor, temperature: float, entropy_grad: bool
) -> tuple[Tensor, Tensor]:
    logits = head(hidden).float() / temperature
    logprobs = logits.log_softmax(dim=-1)
    spread = logprobs if entropy_grad else logprobs.detach()
    entropy = -(spread.exp() * spread).sum(dim=-1)
    return logprobs.gather(-1, targets[:, None])[:, 0], entropy


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """Put values back to the places of a mask; 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def _disable_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]


def _checkpoint_activations(model: Any) -> None:
    # The name with "gradient" is the only one in older versions of transformers, and warns in newer.
    older = model.gradient_checkpointing_enable
    enable = getattr(model, "activation_checkpointing_enable", older)
    enable({"use_reentrant": False})


@torch.no_grad()
def _check_head(model: Any) -> None:
    """Refuse models that do more than a linear layer between hidden states and logits."""
    vocabulary = model.get_output_embeddings().weight.shape[0]
    token_ids = torch.arange(min(vocabulary, 8), device=model.device)[None]
    logits = model(input_ids=token_ids, use_cache=False).logits
    hidden = model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
    if not torch.allclose(logits, model.get_output_embeddings()(hidden), rtol=1e-4, atol=1e-4):
        raise ConfigError(
            f"{type(model).__name__} changes its logits after the output layer",
            hint="models with capped or scaled logits cannot be trained here",
        )
