"""Ids become logits: GPT-2, its classifier, reading and writing model folders."""
