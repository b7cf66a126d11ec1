"""Messages to tokens and back. A renderer is one file here and one member of the union."""

from typing import Annotated

from agentgym.loading import RENDERER, OrUserClass
from agentgym.renderers.chat import ChatRendererConfig

AnyRenderer = Annotated[ChatRendererConfig, OrUserClass(RENDERER)]
"""What `[renderer]` may hold: a union told apart by `name` as soon as there are two, or the class
of a user, which is named by its place."""

__all__ = ["AnyRenderer"]
