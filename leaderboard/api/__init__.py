"""The REST API under /api/v1/. Views parse, call one QuerySet or one action, and render; they contain no rules.

The views' docstrings are the reference shown at /api/v1/docs/.
"""
