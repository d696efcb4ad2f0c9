"""Text becomes ids: tokenizers, data sources, preparation, shards, batches."""
