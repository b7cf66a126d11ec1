"""The syntaxes `xml` and `xml_lines`: a tag for the call and for every argument, as Qwen 3 Coder has them."""

from agentgym.renderers.tagged import Tagged

_CALL = ("<function=", ">", "</function>")
_ARGUMENT = ("<parameter=", ">", "</parameter>")

XML = Tagged(call=_CALL, argument=_ARGUMENT)
"""Values as they are: the small models made here write so."""

XML_LINES = Tagged(
    call=_CALL,
    argument=("<parameter=", ">", "</parameter>\n"),
    wrap="\n",
    around=("<tool_call>\n", "\n</tool_call>"),
)
"""Values on lines of their own: Qwen 3 Coder, Qwen 3.5 and later, Nemotron 3."""
