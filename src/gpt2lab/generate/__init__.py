"""Weights become text: cache, sampling, streaming."""
