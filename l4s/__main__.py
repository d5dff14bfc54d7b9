"""`python -m l4s` is the command `l4s`, for a clone in which nothing was installed."""

import sys

from l4s.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
