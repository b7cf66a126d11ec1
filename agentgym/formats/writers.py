"""The table of formats that can be written."""

from agentgym.formats.atif_writer import AtifWriter
from agentgym.formats.markdown import MarkdownWriter
from agentgym.formats.messages import MessagesWriter
from agentgym.formats.minari import MinariWriter
from agentgym.formats.parquet import ParquetWriter
from agentgym.formats.preference import PreferenceWriter
from agentgym.formats.writer import Writer

WRITERS: dict[str, type[Writer]] = {
    "messages": MessagesWriter,
    "preference": PreferenceWriter,
    "atif": AtifWriter,
    "parquet": ParquetWriter,
    "minari": MinariWriter,
    "markdown": MarkdownWriter,
}
