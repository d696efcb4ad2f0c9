"""gpt2lab builds, tunes, measures and compares GPT-2 models, and makes the numbers believable."""

__version__ = "0.1.0"
