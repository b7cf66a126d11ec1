"""The table of syntaxes, in the order in which templates are asked for them."""

from agentgym.renderers.calls import Syntax
from agentgym.renderers.deepseek import DeepSeek
from agentgym.renderers.gemma import Gemma
from agentgym.renderers.glm import GLM
from agentgym.renderers.harmony import Harmony
from agentgym.renderers.hermes import Hermes
from agentgym.renderers.llama import Llama
from agentgym.renderers.mistral import Mistral
from agentgym.renderers.pythonic import Pythonic
from agentgym.renderers.xml import XML, XML_LINES

SYNTAXES: dict[str, Syntax] = {
    "hermes": Hermes(),
    "xml": XML,
    "xml_lines": XML_LINES,
    "glm": GLM,
    "llama": Llama(),
    "mistral": Mistral(),
    "deepseek": DeepSeek(),
    "pythonic": Pythonic(),
    "gemma": Gemma(),
    "harmony": Harmony(),
}
"""Every syntax by its name in `renderer.calls`."""
