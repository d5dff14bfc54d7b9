"""Stop before a time limit, so that long work can be done in several sittings."""

EXIT_STATUS = 3  # exit status of a command stopped by the limit; repeat it to resume


class TimeIsUp(Exception):
    """The deadline came before the end of the work. Finished work is kept."""


def add_flag(parser: object) -> None:
    """--limit-minutes, for an argparse parser or group."""
    parser.add_argument(  # type: ignore[attr-defined]
        "--limit-minutes",
        type=float,
        default=float("inf"),
        metavar="M",
        help=f"stop by itself about then, with status {EXIT_STATUS}; the same command goes on",
    )
