"""What is added to vLLM's workers. vLLM imports this file there, by its name."""

from typing import Any


class WorkerExtension:
    """Methods that every worker has beside its own, called by `collective_rpc`."""

    model_runner: Any

    def repack_tied_head(self) -> int:
        """Derive anew what is computed from the weights of an output layer; return how many.

        A head that shares its weights with the embedding is not among the layers that a reload
        processes. On a CPU it multiplies with a packed copy, which then still is of the weights
        before (seen with vLLM 0.32).
        """
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

        modules = self.model_runner.get_model().modules()
        heads = [module for module in modules if isinstance(module, ParallelLMHead)]
        for head in heads:
            head.quant_method.process_weights_after_loading(head)
        return len(heads)
