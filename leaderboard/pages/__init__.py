"""The server-rendered pages: parse the request, call one QuerySet or one action, render a template.

No rule lives here. What a viewer may see comes from ``models.visibility``, every change of state from ``actions``;
a ``Refusal`` is shown as its sentence, with its status, beside what the person typed.
"""
