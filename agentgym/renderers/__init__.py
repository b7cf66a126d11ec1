"""Messages to tokens and back. A renderer is one file here and one member of the union."""

from agentgym.renderers.chat import ChatRendererConfig

AnyRenderer = ChatRendererConfig
"""What `[renderer]` may hold: a union told apart by `name` as soon as there are two."""

__all__ = ["AnyRenderer"]
