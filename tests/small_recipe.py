"""The smallest study that has every stage: it pretrains, writes a data set, tunes on it and measures."""

TRAIN = {"epochs": None, "steps": 2, "batch_rows": 4, "precision": "fp32"}
RECIPE = {
    "name": "small",
    "question": "Does it run?",
    "data": {"source": "builtin:fantasy", "tokenizer": "builtin"},
    "prepare": {"vocabulary": 400, "validation": 0.1},
    "model": {"layers": 1, "heads": 1, "width": 16, "context": 32},
    "train": {"steps": 2, "batch_rows": 8, "precision": "fp32"},
    "synthesize": {"recipe": "fantasy-locations", "count": 120, "backend": "builtin"},
    "tune": {
        "data": {"source": "synthesized", "rows": "packed"},
        "prepare": {"validation": 0.2, "test": 0.2},
        "train": TRAIN,
    },
    "variants": {"full": {"method": "full", "seeds": [1, 2]}, "lora": {"method": "lora"}},
    "prompts": ["<LOC>"],
    "samples": {"max_new_tokens": 4},
    "measures": [
        {"protocol": "perplexity/word", "data": "synthesized", "settings": {"data.split": "test"}},
        {"protocol": "forgetting", "data": "corpus", "settings": {"evaluate.limit": 5}},
    ],
}
