"""What a browser sends from a page of the admin."""

import re
from datetime import datetime
from typing import Any


def as_sent(response: Any) -> dict[str, str]:
    """What a browser would send from this change form if nothing were typed."""
    boxes = re.findall(r"<(?:input|select|textarea)[^>]*\bname=\"([^\"]+)\"", response.content.decode())
    forms = [response.context["adminform"].form]
    for formset in response.context["inline_admin_formsets"]:
        forms += [formset.formset.management_form, *formset.formset.forms]
    sent = {}
    for form in forms:
        for bound in form:
            value = bound.value()
            if isinstance(value, datetime):
                sent |= {
                    f"{bound.html_name}_0": f"{value:%Y-%m-%d}",
                    f"{bound.html_name}_1": f"{value:%H:%M:%S}",
                }
            elif value is not None and value is not False:
                sent[bound.html_name] = str(value)
    return {name: value for name, value in sent.items() if name in boxes}
