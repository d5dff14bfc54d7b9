"""Plays a competition's whole calendar in a minute, with made-up teams and a simulated clock, on a scratch database.

``rulebook`` reads the rules from the file independently and computes what must happen; ``play`` plays the calendar
through pages, API, actions and worker code; ``findings`` records which rules held; ``hidden`` knows every hidden number
and who may see it when; ``walk`` opens every URL as every kind of viewer and searches for these numbers.

The server never imports this app. It runs in its own process (``scratch``), never on the real database.
"""
