"""Stopping by itself before a limit, so that long work can be done in pieces."""

EXIT_STATUS = 3  # of a command that a limit stopped: repeated, it goes on


class TimeIsUp(Exception):
    """The deadline came before the end of the work. What was done is kept."""


def add_flag(parser: object) -> None:
    """--limit-minutes, for an argparse parser or group."""
    parser.add_argument(  # type: ignore[attr-defined]
        "--limit-minutes",
        type=float,
        default=float("inf"),
        metavar="M",
        help=f"stop by itself about then, with status {EXIT_STATUS}; the same command goes on",
    )
