"""Every change of state, for page, API, admin and command alike.

An action opens the transaction, takes the lock, changes the rows, rings the bell after the commit, and refuses with
a named ``Refusal``. It never reads a request and never builds a response.
"""
