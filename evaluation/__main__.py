"""`python -m evaluation`: what the command `l4s` does offline, for a clone in which nothing was installed."""

import sys

from evaluation.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
