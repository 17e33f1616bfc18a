"""The address that the service listens on."""

import socket
import sys

from serving.errors import AddressError

ANY = "::"  # all addresses, of IPv6 and IPv4


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address, not yet listening.

    `::` accepts IPv4, too, whatever the system's default; on a host without IPv6, it is 0.0.0.0.

    Raises:
        AddressError: it cannot be bound.
    """
    if host == ANY and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if sys.platform != "win32":  # Windows would let two services share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == ANY:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise AddressError(host, port, error) from error
    return listener


def url(listener: socket.socket) -> str:
    """Return a bound socket's address."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
