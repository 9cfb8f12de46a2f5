"""The garbage collector of a process that handles messages."""

import gc

YOUNG_OBJECTS = 10_000
"""New objects between two looks of the garbage collector at the young ones: some milliseconds, in which nothing else runs."""

YOUNG_LOOKS = 10
"""Looks at the young ones between two at those that were there then as well, such as what belongs to requests in progress."""


def rest_the_collector() -> None:
    """Keeps the garbage collector from looking while a process starts, until :func:`spare_the_collector`.

    What is imported stays, and to look through it again and again is a sixth of the time that importing takes.
    """
    gc.disable()


def spare_the_collector() -> None:
    """Takes what start-up made out of the garbage collector's sight, and lets it look less often.

    Half a million objects of libraries live as long as the process; to go through them all takes a tenth of a second, in
    which nothing else runs. Messages leave hardly any cycles behind: almost all memory is given back without the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_LOOKS, 200)
    gc.enable()
