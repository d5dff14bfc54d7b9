"""Scoring of mask archives. The package itself imports nothing, so any process can read the version."""

__version__ = "1.1.0"
"""The one version number: of the distribution and of the scorer that receipts name."""
