"""The engine `vllm`: vLLM in this process's charge, its computing in processes of its own."""
