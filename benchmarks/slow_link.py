"""A link with a rate and a delay, between this machine and a network namespace on it.

    with slow_link(rate_mbit=1000, delay_ms=5) as link:
        subprocess.run([*link.there, "hostname"])     # a program at the other end, at address link.far

Not every kernel has `tc netem`. Here a process carries packets between two tun devices: each leaves when the
link has had time for it and all before it, and arrives `delay_ms` later. Nothing is lost or reordered.
Needs root, `ip` and /dev/net/tun.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_NEAR, _FAR = "10.213.77.1", "10.213.77.2"
# Large packets: some thousands a second at 1 Gbit/s, which this process carries with ease.
_MTU = 32768


@dataclass(frozen=True)
class Link:
    """`there`: words before a command that run it at the other end; `far`: that end's address."""

    far: str
    there: tuple[str, ...]


def why_not() -> str | None:
    """What is missing for a slow link on this machine, or None."""
    if os.geteuid():
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "the program ip (Debian's iproute2) is not installed"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    return None


@contextmanager
def slow_link(rate_mbit: float, delay_ms: float) -> Iterator[Link]:
    """The link, for as long as the context lasts; `delay_ms` is each way, `rate_mbit` in Mbit/s."""
    name = f"es{os.getpid()}"
    _ip("netns", "add", name)
    carrier = None
    try:
        near, far = _tun(f"{name}a"), _tun(f"{name}b")
        _ip("link", "set", f"{name}b", "netns", name)
        _address([], f"{name}a", _NEAR, _FAR)
        _address(["-n", name], f"{name}b", _FAR, _NEAR)
        _ip("-n", name, "link", "set", "lo", "up")
        carrier = subprocess.Popen(
            [sys.executable, __file__, str(near), str(far), str(rate_mbit), str(delay_ms)],
            pass_fds=(near, far),
        )
        yield Link(_FAR, ("ip", "netns", "exec", name))
    finally:
        if carrier:
            carrier.kill()
            carrier.wait()
            os.close(near)
            os.close(far)
        _ip("netns", "del", name)


def _tun(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return descriptor


def _address(where: list[str], device: str, own: str, peer: str) -> None:
    _ip(*where, "addr", "add", own, "peer", peer, "dev", device)
    _ip(*where, "link", "set", device, "mtu", str(_MTU), "txqueuelen", "1000", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _carry(source: int, sink: int, bytes_per_second: float, delay_s: float) -> None:
    """Packets from `source` to `sink`, one after the other at the link's rate, each `delay_s` later."""
    under_way: deque[tuple[float, bytes]] = deque()
    free = 0.0  # when the link has sent all that it was given
    while True:
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            os.write(sink, under_way.popleft()[1])
        wait = max(0.0, under_way[0][0] - now) if under_way else None
        if select.select([source], [], [], wait)[0]:
            packet = os.read(source, 65536)
            free = max(free, time.monotonic()) + len(packet) / bytes_per_second
            under_way.append((free + delay_s, packet))


if __name__ == "__main__":
    os.nice(-10)  # a wire does not wait for its turn on a busy processor
    one, other = int(sys.argv[1]), int(sys.argv[2])
    pace = float(sys.argv[3]) * 1e6 / 8, float(sys.argv[4]) / 1e3
    threading.Thread(target=_carry, args=(other, one, *pace), daemon=True).start()
    _carry(one, other, *pace)
