"""Scoring of mask archives. The package itself imports nothing, so that any process can name the version."""

SCORER_VERSION = "1"
"""Recorded with every evaluation. Raised whenever the same archive and labels could give other counts."""
