"""Episodes of other programs read, and ours written for them: one format a file.

`read_any` recognises a file by its content; `import_run` makes a run directory of it. `WRITERS`
is the table of what can be written.
"""

from agentgym.formats.as_run import import_run
from agentgym.formats.imported import READERS, Imported, read_any
from agentgym.formats.reader import Reader
from agentgym.formats.source import Source, Value
from agentgym.formats.writer import Writer
from agentgym.formats.writers import WRITERS

__all__ = [
    "READERS",
    "WRITERS",
    "Imported",
    "Reader",
    "Source",
    "Value",
    "Writer",
    "import_run",
    "read_any",
]
