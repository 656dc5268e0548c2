"""Python's cycle collector, set for a process that lives long and makes many objects that live shortly."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""So many new objects make it look; Python's own 700 would look through the events of a batch a hundred times."""


def settle() -> None:
    """Call it once, when a process has put itself together: what is there by now stays, and need not be looked through
    again. Without it a third of a consumer's time goes into looking."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(YOUNG, 10, 10)
