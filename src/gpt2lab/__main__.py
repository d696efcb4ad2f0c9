"""`python -m gpt2lab` is `gpt2lab`."""


def main() -> None:
    from gpt2lab.cli.main import main  # worker processes import this file again, and need no command line

    main()


if __name__ == "__main__":
    main()
