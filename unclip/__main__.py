"""`python -m unclip`: the same as the console script."""

from unclip.cli import main

if __name__ == "__main__":
    main()
