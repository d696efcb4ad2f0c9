"""Data sets that a large model writes: a template, an endpoint, a judge, a journal of paid answers."""
