"""A model becomes a folder that transformers opens as its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gpt2lab.core import files, tensor_file
from gpt2lab.model import layout
from gpt2lab.model.config import describe, to_huggingface
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.text.tokenizer import Tokenizer

ABOUT = "gpt2lab.json"  # our own file in an adapter's folder


def write_model(
    folder: Path,
    model: GPT2 | GPT2Classifier,
    tokenizer: Tokenizer | None = None,
    card: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Everything that `AutoModelForCausalLM` or `AutoModelForSequenceClassification` needs, all of it or nothing."""
    with files.new_folder(folder) as beside:
        write_weights(beside / "model.safetensors", model, dtype)
        write_side_files(beside, model, tokenizer, card, dtype)


def write_side_files(
    folder: Path,
    model: GPT2 | GPT2Classifier,
    tokenizer: Tokenizer | None = None,
    card: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """All but the weights."""
    stored = {"dtype": str(dtype).removeprefix("torch.")}
    files.write_json(folder / "config.json", {**to_huggingface(model.config), **stored})
    _write_neighbours(folder, model, tokenizer, card or default_card(model))


def write_beside_adapter(
    folder: Path, model: GPT2 | GPT2Classifier, tokenizer: Tokenizer | None, about: dict[str, Any]
) -> None:
    """What an adapter's files leave out; no `config.json`: where one is, transformers looks for a whole model."""
    files.write_json(folder / ABOUT, {**about, "config": to_huggingface(model.config)})
    _write_neighbours(folder, model, tokenizer, _adapter_card(model, "quantised" in about))


def _write_neighbours(folder: Path, model: GPT2 | GPT2Classifier, tokenizer: Tokenizer | None, card: str) -> None:
    if not model.config.labels:
        files.write_json(folder / "generation_config.json", _generation_config(model))
    if tokenizer:
        tokenizer.save(folder, context=model.config.context, padding=model.config.padding)
    files.write_text(folder / "README.md", card)


def write_weights(file: Path, model: GPT2 | GPT2Classifier, dtype: torch.dtype = torch.float32) -> None:
    tensors = {
        name: layout.take(name, parameter, model.config.vocabulary).to(dtype)
        for name, parameter in layout.parameters(model).items()
    }
    tensor_file.write(file, tensors, {"format": "pt"})


def default_card(model: GPT2 | GPT2Classifier) -> str:
    config = model.config
    kind = "GPT-2 classifier" if config.labels else "GPT-2 language model"
    task = "text-classification" if config.labels else "text-generation"
    return f"""---
library_name: transformers
pipeline_tag: {task}
tags: [gpt2, gpt2lab]
---
# {kind}

{describe(config)}.
Made with gpt2lab; `run.yaml` and `run.json` of its run say how.
"""


PACKED = """
It was tuned on a base in four bits, and means what it should on these alone: give `from_pretrained`
`quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)`.
"""


def _adapter_card(model: GPT2 | GPT2Classifier, packed: bool) -> str:
    classes = model.config.labels
    kind, more = ("SequenceClassification", f", num_labels={len(classes)}") if classes else ("CausalLM", "")
    named = f"\nClasses, in their order: {', '.join(classes)}.\n" if classes else ""
    return f"""---
library_name: peft
tags: [gpt2, gpt2lab]
---
# Adapter of a GPT-2 {"classifier" if classes else "language model"}

On a base of {describe(model.config)}.
{named}
```python
from peft import AutoPeftModelFor{kind}

model = AutoPeftModelFor{kind}.from_pretrained("THIS_FOLDER"{more})
```
{PACKED if packed else ""}
Made with gpt2lab; `run.yaml` and `run.json` of its run say how. `gpt2lab merge` makes a plain model of it.
"""


def _generation_config(model: GPT2 | GPT2Classifier) -> dict[str, Any]:
    config = model.config
    values = {
        "bos_token_id": config.start_of_text,
        "eos_token_id": config.end_of_text,
        "pad_token_id": config.padding,
        "_from_model_config": True,
    }
    return {key: value for key, value in values.items() if value is not None}
