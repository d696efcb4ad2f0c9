"""A conversation with a model at the terminal: a line is continued, an empty line goes on, `/` begins a command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from gpt2lab.core import console, files
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.generate.generate import write
from gpt2lab.generate.packed import Weights
from gpt2lab.generate.row import ends_of
from gpt2lab.generate.settings import Generation, SamplingSettings
from gpt2lab.text.tokenizer import Tokenizer

HELP = """Type a text, and it is continued. An empty line goes on with the last text.
  /again            another sample of the last prompt
  /set NAME=VALUE   change a setting: /set temperature=0.7 top_k=50
  /settings         show all settings
  /quit             or Ctrl-D
Ctrl-C stops a text. A line that begins with // is a text that begins with /."""
REMEMBERED = 1000  # lines


def talk(
    weights: Weights,
    tokenizer: Tokenizer,
    settings: SamplingSettings,
    read: Callable[[str], str],
    show: Callable[[str], object],
) -> None:
    """Until `read` has no more lines."""
    prompt, text, sample = "", "", 0
    while True:
        try:
            line = read("> ")
        except EOFError:
            show("\n")
            return
        except KeyboardInterrupt:
            show("\n")
            continue
        command, _, rest = line.partition(" ")
        if command == "/quit":
            return
        if command == "/help":
            show(f"{HELP}\n")
        elif command == "/settings":
            show("".join(f"{name}={value}\n" for name, value in settings.as_dict().items()))
        elif command == "/set":
            settings = _changed(settings, rest, tokenizer, weights)
        elif command.startswith("/") and command != "/again" and not command.startswith("//"):
            console.error(f"there is no command {command}; /help lists them")
        else:
            if command == "/again":
                sample += 1
            else:
                prompt, sample = line.removeprefix("/") if line else prompt + text, 0
            show(prompt)
            text = _written(weights, tokenizer, prompt, sample, settings, show)


def _written(
    weights: Weights,
    tokenizer: Tokenizer,
    prompt: str,
    sample: int,
    settings: SamplingSettings,
    show: Callable[[str], object],
) -> str:
    """What was written before it ended or was stopped."""
    pieces: list[str] = []

    def hear(_: int, piece: str) -> None:
        pieces.append(piece)
        show(piece)

    try:
        for made in write(weights, tokenizer, [prompt], 1, settings, listener=hear, first_sample=sample):
            show(f"\n[{made.describe()}]\n")
    except KeyboardInterrupt:
        show("\n[stopped]\n")
    except UserError as error:
        console.error(str(error))
    return "".join(pieces)


def _changed(settings: SamplingSettings, text: str, tokenizer: Tokenizer, weights: Weights) -> SamplingSettings:
    """The settings with these changes, or as they were where one is wrong."""
    try:
        fixed = {"precision", "compile", "rows"} & {word.partition("=")[0] for word in text.split()}
        if fixed:
            raise UserError(f"{min(fixed)} is fixed when the model is loaded", way_out="start again with another value")
        overrides = [f"generate.{word}" for word in text.split()]
        changed = strict.resolve(Generation, values={"generate": settings.model_dump()}, overrides=overrides).generate
        ends_of(changed, tokenizer, weights.config)
    except UserError as error:
        console.error(str(error))
        return settings
    return changed


@contextlib.contextmanager
def history() -> Iterator[None]:
    """The arrow keys bring back lines of earlier conversations, where Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    path = files.home() / "generate.history"
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(REMEMBERED)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(path)
