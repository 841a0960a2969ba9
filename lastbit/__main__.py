"""`python -m lastbit` is `lastbit`."""

from lastbit.cli import main

if __name__ == "__main__":
    main()
