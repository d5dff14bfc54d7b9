"""The REST API under /api/v1/: it parses, calls one QuerySet or one action, and renders. It holds no rule.

The docstrings of the views are the reference that /api/v1/docs/ shows.
"""
