"""`{name}` in a template becomes a value of that variable: one pass, plain text, nothing is looked at twice.

A value or an answer that holds `{other}` keeps it, and no other form of braces means anything.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpt2lab.core.errors import UserError
from gpt2lab.text.synthesis.settings import PromptSettings, SynthesisRecipe

SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
OURS = ("model", "messages", "stream", "n", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed")


@dataclass(frozen=True)
class Prompt:
    system: str
    user: str
    variables: dict[str, str]

    @property
    def bytes(self) -> int:
        return len((self.system + self.user).encode())


def prompt(settings: PromptSettings, number: int) -> Prompt:
    """Of text `number`: the same whenever and wherever it is made."""
    drawn = {
        name: values[_draw(settings.seed, number, name, len(values))] for name, values in settings.variables.items()
    }
    return Prompt(fill(settings.system, drawn), fill(settings.user, drawn), drawn)


def fill(template: str, values: Mapping[str, str]) -> str:
    return SLOT.sub(lambda slot: values[slot[1]], template)


def _draw(seed: int, number: int, name: str, count: int) -> int:
    """By name, so that one more variable leaves the others as they were."""
    digest = hashlib.blake2b(f"{seed}/{number}/{name}".encode(), digest_size=16).digest()
    return int.from_bytes(digest, "big") % count


def refuse_mistakes(recipe: SynthesisRecipe, file: Path) -> None:
    """What would be paid for and be wrong a thousand times is said before the first request, all of it at once."""
    variables, checks = recipe.prompt.variables, recipe.checks
    used = dict.fromkeys(SLOT.findall(recipe.prompt.system + recipe.prompt.user))
    problems = [_unknown(name, variables) for name in used if name not in variables]
    problems += [f"the variable {name!r} has no values" for name, values in variables.items() if not values]
    problems += [f"the variable {name!r} is not in the template" for name in variables if name not in used]
    problems += [
        f"model.options may not set {name!r}: it has a setting" for name in recipe.model.options if name in OURS
    ]
    if checks.fewest_words > checks.most_words:
        problems.append(f"no text has {checks.fewest_words} words or more, and {checks.most_words} or fewer")
    if not recipe.prompt.user.strip():
        problems.append("prompt.user is empty")
    if problems:
        raise UserError("the recipe cannot work:\n" + "\n".join(f"  {problem}" for problem in problems), place=file)


def _unknown(name: str, variables: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, variables, n=1)
    hint = f"did you mean {{{close[0]}}}?" if close else f"to have it as text, add the variable {name}: ['{{{name}}}']"
    return f"the template has {{{name}}}, and there is no such variable; {hint}"
