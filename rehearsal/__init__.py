"""A competition's whole calendar in a minute, with made-up teams and a moved clock, on a database of its own.

``rulebook`` reads the rules out of the file by itself and says what must happen; ``play`` plays the calendar through
pages, API, actions and the workers' own code; ``findings`` keeps which rule held; ``hidden`` knows every number that is
hidden and who may know it when; ``walk`` opens every address as every kind of viewer and looks for them.

Nothing of the server imports this app. It runs in a process of its own (``scratch``), never on the real database.
"""
