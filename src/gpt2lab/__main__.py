"""`python -m gpt2lab` is `gpt2lab`."""

from gpt2lab.cli.main import main

if __name__ == "__main__":  # worker processes import this file again
    main()
