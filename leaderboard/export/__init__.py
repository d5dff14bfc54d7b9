"""A competition as one file: written by ``export_competition``, brought back by ``import_competition``.

The format is documented in docs/export.md. ``tables`` says what belongs to a competition and how its rows are written
without a database's numbers; ``package`` is the ZIP with its checksums; ``site`` the boards as static pages.
"""
