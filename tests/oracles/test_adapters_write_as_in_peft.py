"""A prompt-tuned model and a stored adapter write what PEFT makes of the same folders, token for token."""

from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from gpt2lab.generate.generate import generate
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.model import lora, prompt
from gpt2lab.model.reading import read_language_model, weight_hash
from gpt2lab.model.settings import LoraSettings, PromptSettings
from gpt2lab.model.writing import write_beside_adapter, write_model
from models import TINY, language_model
from vocabularies import small

END = small().end_of_text
SHAPE = replace(TINY, vocabulary=small().size, context=96, start_of_text=END, end_of_text=END)
PROMPTS = ["The tokenizer", "It", "Numbers such as 1234567 and 3.14 are split too"]


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_greedy_text_is_pefts(method, tmp_path):
    model = language_model(SHAPE)
    write_model(tmp_path / "base", model, small())
    generator = torch.Generator().manual_seed(4)
    if method == "lora":
        lora.add(model, LoraSettings(targets=("all",)), 1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.3, generator=generator)
        lora.write(tmp_path / "adapter", model, LoraSettings(targets=("all",)), str(tmp_path / "base"))
    else:
        prompt.add(model, PromptSettings(tokens=7), 1, small().encode("Some other text").astype("int64"))
        prompt.write(tmp_path / "adapter", model, str(tmp_path / "base"))
    facts = {"base": "../base", "base_weights": weight_hash(tmp_path / "base")}
    write_beside_adapter(tmp_path / "adapter", model, small(), facts)
    oracle = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter")
    settings = SamplingSettings(temperature=0, max_new_tokens=30, ignore_eos=True)
    samples = generate(read_language_model(tmp_path / "adapter"), small(), PROMPTS, 1, settings)
    for sample in samples:
        ids = small().encode(sample.prompt).tolist()
        begin = len(ids)
        with torch.no_grad():  # PEFT's own generate does not count its soft tokens alike in every version
            for _ in range(30):
                ids.append(int(oracle.eval()(torch.tensor([ids])).logits[0, -1].argmax()))
        assert sample.text == small().decode(ids[begin:])
    plain = generate(read_language_model(tmp_path / "base"), small(), PROMPTS, 1, settings)
    assert [one.text for one in plain] != [one.text for one in samples]
