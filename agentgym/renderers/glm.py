"""The syntax `glm`: a tag for every key and for every value, as GLM 4.5 writes it."""

import re

from agentgym.renderers.calls import Found, Schemas, blocks, found
from agentgym.renderers.tagged import Tagged

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"
_BETWEEN = "</arg_key>\n<arg_value>"
_NAME = re.compile(r"\s*([^\n<]*)")


class Glm(Tagged):
    """Calls as <tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>.

    There is a line break behind the name, each key and each value; a model may leave it out.
    """

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read every block; the name ends with its line, or where the first tag begins."""
        outside, inside = blocks(text, _OPENING, _CLOSING)
        written = []
        for each in inside:
            name = _NAME.match(each)
            assert name is not None
            body = each[name.end() :].replace("</arg_key><arg_value>", _BETWEEN)
            written.append(self.written(name[1].strip(), body, schemas))
        return found(outside, written)


GLM = Glm(
    call=(_OPENING, "\n", _CLOSING),
    argument=("<arg_key>", _BETWEEN, "</arg_value>\n"),
)
