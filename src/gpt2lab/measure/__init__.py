"""Weights become numbers: likelihood, perplexity, statistics, result records."""
