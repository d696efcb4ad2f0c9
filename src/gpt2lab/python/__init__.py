"""What `import gpt2lab` offers: the verbs of the command line as functions, and small objects for what they make."""
