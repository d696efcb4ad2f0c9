"""gpt2lab builds, tunes, measures and compares GPT-2 models, and makes the numbers believable.

In Python: `load`, `generate`, `evaluate`, `prepare`, `pretrain`, `finetune` and `run`, as on the command line.
Importing the package loads nothing of what they need; the first call does.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpt2lab.core.errors import UserError as UserError
    from gpt2lab.python.objects import Corpus as Corpus
    from gpt2lab.python.objects import Model as Model
    from gpt2lab.python.objects import Report as Report
    from gpt2lab.python.objects import Run as Run
    from gpt2lab.python.verbs import evaluate as evaluate
    from gpt2lab.python.verbs import finetune as finetune
    from gpt2lab.python.verbs import generate as generate
    from gpt2lab.python.verbs import load as load
    from gpt2lab.python.verbs import prepare as prepare
    from gpt2lab.python.verbs import pretrain as pretrain
    from gpt2lab.python.verbs import run as run

__version__ = "0.1.0"

_VERBS = ("load", "generate", "evaluate", "prepare", "pretrain", "finetune", "run")
_PLACES = {
    **dict.fromkeys(_VERBS, "gpt2lab.python.verbs"),
    **dict.fromkeys(("Corpus", "Model", "Report", "Run"), "gpt2lab.python.objects"),
    "UserError": "gpt2lab.core.errors",
}
__all__ = ["Corpus", "Model", "Report", "Run", "UserError", "evaluate", "finetune", "generate", "load", "prepare",
           "pretrain", "run"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'gpt2lab' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _FloorAndVerb(ModuleType):
    """`gpt2lab.generate` is a floor of the house and a verb: the module can be called."""

    def __call__(self, *given: Any, **settings: Any) -> Any:
        return import_module(_PLACES["generate"]).generate(*given, **settings)


import_module("gpt2lab.generate").__class__ = _FloorAndVerb
