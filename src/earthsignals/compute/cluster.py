"""A Dask cluster behind `ordered_map`: the setting `cluster` names a scheduler or a batch system.

    for result in connect(load_settings()).map(function, items, bar): ...

The scheduler holds a few items at a time, let go as soon as their results are here, so that its memory does
not grow with their number. It sees only bytes: functions and items are unpickled by workers. A large function
travels once, as a task of its own, and from worker to worker; where one dies with it, the scheduler hands it
out again.
"""

from __future__ import annotations

import atexit
import hashlib
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from earthsignals.compute import errand
from earthsignals.compute.batch import open_batch_cluster
from earthsignals.compute.progress import Progress
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError

Item = TypeVar("Item")
Result = TypeVar("Result")

_CONNECT_SECONDS = 10.0
_WAIT_SECONDS = 120.0  # without any worker of a scheduler that somebody started
_LOOK_SECONDS = 2.0  # between looks at the number of workers
_SMALL_BYTES = 1 << 16  # a function up to this size goes with every item
_TLS = ("tls_ca_file", "tls_client_cert", "tls_client_key")


class Cluster:
    """A connection to a scheduler. `wait_seconds`: how long to go on without a single worker."""

    def __init__(self, client: Any, place: str, wait_seconds: float) -> None:
        self.client, self.place, self.wait_seconds = client, place, wait_seconds
        self._workers, self._looked, self._seen = 0, float("-inf"), time.monotonic()
        self._spread_to = 0

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], bar: Progress
    ) -> Iterator[Result]:
        """Yield `function(item)` in item order; at most 2·workers + 2 items are under way.

        A worker that dies is no failure: its items are done again by others, now or when one comes.

        Raises EarthSignalsError when an item kills worker after worker, when there is no worker for
        `wait_seconds`, when the scheduler goes away, and where a worker is not like this process
        (`errand.run`). Exceptions of the function pass through.
        """
        import cloudpickle

        packed = cloudpickle.dumps(function)
        digest, name = hashlib.sha256(packed).hexdigest(), f"earthsignals-{uuid.uuid4().hex}"
        pending: deque[tuple[int, Any]] = deque()
        submit = self.client.submit
        with errand.sender() as sender, self._failures(bar.description):
            self._look(bar)
            self._spread_to, held = 0, packed
            if len(packed) > _SMALL_BYTES:
                held = submit(_same, packed, key=(name, "function"), pure=False)
            try:
                for number, item in enumerate(items):
                    self._spread(held)
                    task = (held, digest, cloudpickle.dumps(item), sender)
                    pending.append((number, submit(errand.run, *task, key=(name, number), pure=False)))
                    while len(pending) >= 2 * self._workers + 2:
                        yield self._result(*pending.popleft(), bar)
                while pending:
                    yield self._result(*pending.popleft(), bar)
            finally:
                left = [future for _, future in pending]
                if left and self.client.status == "running":
                    self.client.cancel(left)

    def close(self) -> None:
        """Leave the scheduler; a batch system's jobs end with it."""
        self.client.close()
        if self.client.cluster is not None:
            self.client.cluster.close()

    def _spread(self, held: Any) -> None:
        """Give a large function to workers that came: items go by preference to those that have it."""
        if isinstance(held, bytes) or self._spread_to == self._workers or held.status != "finished":
            return
        self.client.replicate([held])
        self._spread_to = self._workers

    def _result(self, number: int, future: Any, bar: Progress) -> Any:
        from distributed.scheduler import KilledWorker

        while True:
            self._look(bar)
            try:
                error = future.exception(timeout=_LOOK_SECONDS)  # None when it went well
                break
            except TimeoutError:
                continue
        if isinstance(error, KilledWorker):
            raise EarthSignalsError(
                f"{bar.description}: item {number} was under way on {error.allowed_failures + 1} workers of "
                f"{self.place} that died one after another, most likely killed for want of memory: start "
                "workers with more memory each, and run again"
            )
        return future.result()

    def _look(self, bar: Progress) -> None:
        """Count the workers now and then; fail when there was none for too long."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked, self._workers = now, len(self.client.nthreads())
        if self._workers:
            self._seen = now
            bar.annotate(f"{self._workers} worker{'s' if self._workers > 1 else ''}")
            return
        bar.annotate(f"waiting for a worker of {self.place}")
        if now - self._seen > self.wait_seconds:
            raise EarthSignalsError(
                f"{bar.description}: {self.place} has had no worker for {self.wait_seconds:g} s; start "
                "some (`dask worker ADDRESS --nworkers 4 --nthreads 1`, with this project's Python), or "
                "allow more time by `wait_seconds` in cluster_options"
            )

    @contextmanager
    def _failures(self, description: str) -> Iterator[None]:
        """The scheduler's own failures as a sentence."""
        from distributed import CancelledError
        from distributed.comm import CommClosedError

        try:
            yield
        except (CancelledError, CommClosedError) as error:
            raise EarthSignalsError(
                f"{description}: the connection to {self.place} was lost ({_first_line(error)}): see that "
                "the scheduler runs, and run again: what stages keep of finished work is used"
            ) from None


_open: dict[str, Cluster] = {}


def connect(settings: Settings) -> Cluster:
    """The cluster of the settings; one connection serves all maps of this process.

    Raises EarthSignalsError: no scheduler answers, its versions are not ours, certificates are missing, a
    batch system is not installed here or does not take the options.
    """
    key = f"{settings.cluster} {sorted(settings.cluster_options.items())}"
    known = _open.get(key)
    if known is not None and known.client.status == "running":
        known._seen = time.monotonic()
        return known
    if not _open:
        atexit.register(_close_all)
    _open[key] = _connect(str(settings.cluster), dict(settings.cluster_options))
    return _open[key]


def _close_all() -> None:
    while _open:
        _open.popitem()[1].close()


def _connect(place: str, options: dict[str, Any]) -> Cluster:
    from distributed import Client

    batch = "://" not in place
    wait_seconds = float(options.pop("wait_seconds", float("inf") if batch else _WAIT_SECONDS))
    if batch:
        address, security = open_batch_cluster(place, options), None
    else:
        address, security = place, _security(place, options)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions: `_check_versions` says it better
            client = Client(address, security=security, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise EarthSignalsError(
            f"no Dask scheduler answers at {place} (setting `cluster`, EARTHSIGNALS_CLUSTER: "
            f"{_first_line(error)}); start one (`dask scheduler --host 127.0.0.1`) or remove the setting to "
            "work with the processes of this machine"
        ) from None
    try:
        _check_versions(client.get_versions(), place)
    except BaseException:
        client.close()
        raise
    return Cluster(client, place, wait_seconds)


def _security(place: str, options: dict[str, Any]) -> Any:
    """Certificates for tls://, from the options or from Dask's own configuration."""
    from distributed.security import Security

    unknown = sorted(set(options) - set(_TLS))
    if unknown:
        raise EarthSignalsError(
            f"cluster_options holds {', '.join(unknown)}, which mean nothing for the scheduler {place}; "
            f"it knows wait_seconds, {', '.join(_TLS)}"
        )
    if not place.startswith("tls://"):
        return None
    security = Security(require_encryption=True, **options)
    if not (security.tls_ca_file and security.tls_client_cert):
        raise EarthSignalsError(
            f"{place} needs certificates: give the files {', '.join(_TLS)} in cluster_options, or in Dask's "
            "configuration (distributed.comm.tls)"
        )
    return security


def _check_versions(versions: dict[str, Any], place: str) -> None:
    """Refuse a scheduler or workers whose Python, Dask or pickles are not ours.

    Workers compare the rest themselves (`errand.run`); before that their messages must be readable.
    """

    def told(about: dict[str, Any] | None) -> tuple[tuple[str, str], ...]:
        packages = (about or {}).get("packages", {})
        python = ".".join(str(packages.get("python", "unknown")).split(".")[:2])
        rest = ((name, str(packages.get(name))) for name in ("dask", "distributed", "cloudpickle"))
        return ("Python", python), *rest

    ours = told(versions["client"])
    others = {"the scheduler": versions["scheduler"]} | {
        f"the worker {address}": about for address, about in versions["workers"].items()
    }
    for who, about in others.items():
        other = errand.differences(told(about), ours)
        if other:
            raise EarthSignalsError(
                f"{who} of {place} runs {', '.join(other)}: start it with this project's Python"
            )


def _same(packed: bytes) -> bytes:
    """The pickled function as a task, so that it can be had again when its holder dies."""
    return packed


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]
