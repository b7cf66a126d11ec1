"""Inference engines by name; `pkg.mod:Config` of each."""

ENGINES = {
    "local": "agentgym.engines.local:LocalEngineConfig",
}
