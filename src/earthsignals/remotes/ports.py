"""Ports: may we listen on one, does anybody, and is an address this machine's own?"""

from __future__ import annotations

import ipaddress
import socket

from earthsignals.storage import EarthSignalsError


def is_loopback(host: str) -> bool:
    """Does `host` (a name or an address) lead to this machine alone, without asking a name server?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listens(port: int, host: str = "127.0.0.1", seconds: float = 2.0) -> bool:
    """Does anything take connections there? Asks once, for `seconds` at most."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except (OSError, OverflowError):
        return False


def free_port(port: int, host: str = "127.0.0.1", option: str = "--port") -> int:
    """`port` if a program may listen on it, any free one for 0.

    option: what chooses the port, for the sentence of the EarthSignalsError that a taken one raises.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EarthSignalsError(
                f"port {port} of {host} cannot be listened on ({reason}): stop what listens there, or choose "
                f"another with {option}"
            ) from None
        return probe.getsockname()[1]
