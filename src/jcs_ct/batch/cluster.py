"""The engine for clusters: Ray actors that hold the networks, one CPU each.

What travels is the name and place of a study and what became of it, never voxels: all nodes see the studies and the
folder of results. Actors are replaced when they die, are killed when a study takes too long, and end with the driver.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Ray reports its use to its makers unless it is told not to, before it is loaded.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray  # after the line above, which it must not precede
from ray.exceptions import RayError, RayTaskError

from jcs_ct.batch.engine import Did, Ended, load_work
from jcs_ct.batch.items import Item
from jcs_ct.batch.limits import THREAD_VARIABLES, killed_after, limit_memory
from jcs_ct.batch.records import Why
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.errors import JcsError, UsageError

_GRACE_S = 30.0
_BEGIN_S = 600.0
"""In which a first worker must be ready."""
_MOST_FAILURES = 5
"""Of workers that die before they are ready, one after the other; then the batch ends."""
_NODE_S = 40.0
"""In which Ray notices the death of a node, with its health checks as they come."""


@dataclass
class _Place:
    """Room for one actor."""

    actor: Any
    node: Any
    """Reference to the node's id, and once the actor is ready that id."""
    ready: bool = False
    item: Item | None = None
    result: Any = None
    """Reference to what it will say of the study."""
    since: float = 0.0


class RayEngine:
    """Runs studies on the nodes of a Ray cluster.

    Args:
        settings: of the batch; its folder must be seen by all nodes.
        workers: actors; as many as the cluster has CPUs for if None.
        address: `auto` for the cluster of this machine, `local` to start one, or HOST:PORT.

    Raises:
        UsageError: there is no such cluster.
    """

    def __init__(self, settings: WorkSettings, workers: int | None, address: str = "auto") -> None:
        self._settings = settings
        try:
            ray.init(
                address=None if address == "local" else address,
                include_dashboard=False if address == "local" else None,
                log_to_driver=False,
                configure_logging=False,
                ignore_reinit_error=True,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"--address: cannot join the Ray cluster {address} ({error}); start one with ray start --head, or give "
                "--address local"
            ) from error
        cpus = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        self._failures = 0
        self._began = time.monotonic()
        self._places = [self._place() for _ in range(workers or max(1, cpus // settings.threads))]

    @property
    def workers(self) -> int:
        """See `Engine`: the actors that are ready; others wait for a node that has room for them."""
        return sum(place.ready for place in self._places)

    def start(self, item: Item) -> None:
        """See `Engine`."""
        place = next(place for place in self._places if place.ready and place.item is None)
        place.item, place.since = item, time.monotonic()
        place.result = place.actor.do.remote(item)

    def wait(self, seconds: float) -> Sequence[Ended]:
        """See `Engine`."""
        watched = [p.result if p.ready else p.node for p in self._places if not p.ready or p.item is not None]
        if watched:
            ray.wait(watched, num_returns=1, timeout=seconds)
        else:
            time.sleep(seconds)
        self._see_who_is_ready()
        ended = []
        for place in self._places:
            if place.item is None:
                continue
            if ray.wait([place.result], timeout=0)[0]:
                ended.append(self._ended(place, place.item))
            elif time.monotonic() - place.since > self._settings.timeout_s:
                ended.append(Ended(place.item, why=Why.TIME, detail=f"more than {self._settings.timeout_s:g} s"))
                self._replace(place)
        return ended

    def close(self) -> None:
        """See `Engine`."""
        for place in self._places:
            ray.kill(place.actor, no_restart=True)
        ray.shutdown()

    def _place(self) -> _Place:
        settings = self._settings
        variables = dict.fromkeys(THREAD_VARIABLES, str(settings.threads))
        remote: Any = _Actor  # what the decorator makes of it
        actor = remote.options(
            num_cpus=settings.threads,
            memory=settings.memory_bytes,
            max_restarts=0,  # a new one takes its place, and another study
            runtime_env={"env_vars": variables},
        ).remote(settings)
        return _Place(actor, actor.node.remote())

    def _replace(self, place: _Place) -> None:
        ray.kill(place.actor, no_restart=True)
        new = self._place()
        place.actor, place.node, place.ready, place.item, place.result = new.actor, new.node, False, None, None

    def _see_who_is_ready(self) -> None:
        """Take note of actors that are ready, and replace those that died before."""
        for place in self._places:
            if place.ready or not ray.wait([place.node], timeout=0)[0]:
                continue
            try:
                place.node, place.ready = ray.get(place.node), True
                self._failures = 0
            except RayError as error:
                self._failures += 1
                if self._failures >= _MOST_FAILURES:
                    raise JcsError(f"no worker can begin ({_first_line(error)})") from error
                self._replace(place)
        if not self.workers and time.monotonic() - self._began > _BEGIN_S:
            raise JcsError(
                f"no worker was ready in {_BEGIN_S:g} s; expected a node with {self._settings.threads} free CPU and "
                f"{self._settings.memory_bytes / 1024**3:g} GiB: see ray status"
            )
        if self.workers:
            self._began = time.monotonic()

    def _ended(self, place: _Place, item: Item) -> Ended:
        try:
            did: Did = ray.get(place.result)
            place.item = place.result = None
            return Ended(item, did)
        except JcsError as error:
            raise JcsError(str(getattr(error, "cause", error))) from error
        except MemoryError:
            self._replace(place)
            limit = f"more than {self._settings.memory_bytes / 1024**3:g} GiB"
            return Ended(item, why=Why.MEMORY, detail=limit)
        except RayTaskError as error:
            raise JcsError(f"a worker failed ({_first_line(error)})") from error
        except RayError as error:
            lost = _node_is_lost(place.node, error)
            self._replace(place)
            # That a machine was lost says nothing about the study that it worked on.
            return Ended(item) if lost else Ended(item, why=Why.CRASH, detail="its worker died")


@ray.remote
class _Actor:
    """A worker; the networks are loaded once."""

    def __init__(self, settings: WorkSettings) -> None:
        limit_memory(settings.memory_bytes)
        self._timeout_s = settings.timeout_s
        self._work = load_work(settings)

    def node(self) -> str:
        """Id of the node that it runs on; it is ready once it says so."""
        return str(ray.get_runtime_context().get_node_id())

    def do(self, item: Item) -> Did:
        """Do a study."""
        with killed_after(self._timeout_s + _GRACE_S):
            return self._work(item)


def _node_is_lost(node: str, error: RayError) -> bool:
    if "node" in str(error) and "died" in str(error) and "worker process has died" not in str(error):
        return True
    return not any(each["NodeID"] == node and each["Alive"] for each in ray.nodes())  # type: ignore[no-untyped-call]


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
