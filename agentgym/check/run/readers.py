"""What turns the tokens of a run into text, and its messages into tokens."""

import json
from pathlib import Path
from typing import Any

from agentgym.check.report import NotChecked
from agentgym.config.methods import recorded_renderer
from agentgym.errors import AgentGymError, StoreError, boundary
from agentgym.renderer import Renderer
from agentgym.renderers.chat import ChatRendererConfig

_FILE, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_HINT = "pip install 'agentgym-framework[train]'"
_PLAIN = ("TokenizersBackend", "PreTrainedTokenizerFast")


class Readers:
    """The tokenizer and the renderer of a run, loaded once for all its episodes."""

    def __init__(self, root: Path) -> None:
        self.tokenizer: Any = None
        """What decodes; None: there is none here."""
        self.renderer: Renderer | None = None
        """None also where there is no chat template, or one that writes the date."""
        self.untold: list[str] = []
        """What cannot be read; who tells it takes it away, since no episode is to blame."""
        self.missing: NotChecked | None = None
        """Why not everything can be compared."""
        try:
            folder = _folder(root)
            self.tokenizer = _tokenizer(folder)
            self.renderer = _renderer(root, folder)
        except NotChecked as error:
            self.missing = error
        except AgentGymError as error:
            self.untold.append(str(error))


def _folder(root: Path) -> Path:
    """Return the newest checkpoint with a tokenizer.

    Raises:
        NotChecked: there is none.
    """
    folders = [*sorted((root / "checkpoints").glob("[0-9]*"), reverse=True), root / "model"]
    found = next((each for each in folders if (each / _FILE).is_file()), None)
    if found is None:
        raise NotChecked(f"no checkpoint of the run has a {_FILE}")
    return found


def _tokenizer(folder: Path) -> Any:
    """Return what decodes.

    Raises:
        NotChecked: nothing reads it here.
        StoreError: it cannot be read.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise NotChecked("decoding needs the package tokenizers", hint=_HINT) from None
    with boundary(StoreError, f"reading {folder / _FILE}"):
        return Tokenizer.from_file(str(folder / _FILE))


def _renderer(root: Path, folder: Path) -> Renderer | None:
    """Return what renders; None: there is no chat template, or one that writes the date.

    Raises:
        NotChecked: nothing reads it here.
        StoreError, ConfigError: it cannot be read.
    """
    if not (folder / _CONFIG).is_file():
        return None
    config = recorded_renderer(root / "config.toml")
    if isinstance(config, ChatRendererConfig):  # the tokenizer was saved with its template
        config = config.model_copy(update={"template": None})
    is_plain = _is_plain(folder / _CONFIG)
    try:
        import transformers

        from agentgym.engines.quiet import quiet
    except ImportError as error:
        raise NotChecked(
            "only the answers can be compared: what stands before and between them needs "
            f"transformers ({error})",
            hint=_HINT,
        ) from None
    with boundary(StoreError, f"reading the tokenizer in {folder}"), quiet():
        # AutoTokenizer knows all classes, and loads torch.
        kind = transformers.PreTrainedTokenizerFast if is_plain else transformers.AutoTokenizer
        tokenizer = kind.from_pretrained(folder, local_files_only=True)
        template = tokenizer.chat_template
        is_fixed = isinstance(template, str) and "strftime_now" not in template
        return config.build(tokenizer) if is_fixed else None


def _is_plain(config: Path) -> bool:
    """Return whether a tokenizer is nothing but its `tokenizer.json`.

    Raises:
        StoreError: its configuration cannot be read.
    """
    with boundary(StoreError, f"reading {config}"):
        return json.loads(config.read_text("utf-8")).get("tokenizer_class") in _PLAIN
