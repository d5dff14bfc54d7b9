"""Python's search for garbage, in processes that live long."""

import gc


def keep_what_is_loaded() -> None:
    """Leave modules, models and addresses out of every later search: there are hundreds of thousands of objects, and they stay anyway."""
    gc.collect()
    gc.freeze()
