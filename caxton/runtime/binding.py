"""Ports that the server takes before anything heavy is loaded."""

import socket

from caxton.domain.errors import Hint, PortInUse


def bind(host: str, port: int, setting: str, variable: str) -> socket.socket:
    """Listens on a port.

    Args:
        host: address of this machine.
        port: number; 0 takes a free one.
        setting: option of `caxton serve` that chooses another port.
        variable: environment variable that does.

    Raises:
        PortInUse: it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"{host}:{port} is not available: {error.strerror}",
            Hint(text="choose another port", command=f"caxton serve --{setting} {port + 1}"),
            Hint(text=f"or set {variable}"),
            details={"host": host, "port": port},
        ) from error
    return listener
