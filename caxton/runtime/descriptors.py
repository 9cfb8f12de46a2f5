"""File descriptors: every connection takes one, and the usual limit is lower than what a server may be asked to hold."""

import resource

RESERVE = 512
"""For everything else: databases, blobs, sandboxes, child processes, connections to others."""

FEWEST = 64
"""Connections that are taken whatever the limit is."""


def make_room_for(connections: int) -> int:
    """Raises the limit of descriptors as far as it takes and the system allows; returns how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(FEWEST, min(connections, soft - RESERVE))
