"""The server-rendered pages: parse the request, call one QuerySet or one action, render a template.

Pages contain no rules: ``models.visibility`` decides what a viewer may see, ``actions`` make every change of state.
A ``Refusal`` is shown as its sentence, with its status, next to what the person typed.
"""
