"""Renderers by name; `pkg.mod:Class` of each."""

RENDERERS = {
    "chat": "agentgym.renderers.chat:ChatRenderer",
}
