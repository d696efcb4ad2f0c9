"""What people may say of preparing a corpus."""

from __future__ import annotations

from gpt2lab.core.settings import Natural, Settings, Share


class PrepareSettings(Settings):
    validation: Share = 0.05
    """Share of documents, chosen by a hash of their text, that training never sees."""
    test: Share = 0.0
    """Share of documents kept apart for the end."""
    vocabulary: Natural = 4096
    """Size of the BPE that `--tokenizer builtin` trains on the built-in text."""
