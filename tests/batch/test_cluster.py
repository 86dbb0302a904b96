"""The Ray engine on two nodes of this machine, over stand-ins."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jcs_ct.batch.engine import Engine
from jcs_ct.batch.records import Records, State, Why
from jcs_ct.batch.settings import GIB
from jcs_ct.errors import JcsError
from tests.batch.calls import ROOT, Seen, call, settings_for, states
from tests.batch.stand_in import UNFIT_TASK, runs, write_study

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

from jcs_ct.batch.cluster import RayEngine  # noqa: E402  # only where there is Ray

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
_MEMORY = GIB // 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without workers, so that it outlives the loss of any node that works."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT / 'src'}:{ROOT}"
    own = _patiently(
        lambda: cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 2**27},
        )
    )
    try:
        yield own
    finally:
        own.shutdown()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def add_node(cluster: Any) -> Any:
    return _patiently(lambda: cluster.add_node(num_cpus=1, memory=2 * _MEMORY, object_store_memory=2**27))


def _patiently(start: Callable[[], Any]) -> Any:
    """Start a node; Ray gives it thirty seconds, which cannot be changed, and which a busy machine may exceed."""
    reason = ""
    for _ in range(3):
        try:
            return start()
        except Exception as error:  # Ray raises just that
            reason = str(error)
            if "timed out during startup" not in reason:
                raise
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(f"this machine is too busy for Ray: {reason}")


def engine(cluster: Any, out: Path, workers: int, **changes: Any) -> Engine:
    return RayEngine(settings_for(out, memory_bytes=_MEMORY, **changes), workers, cluster.address)


def test_no_usage_reports_leave_the_machine() -> None:
    usage = pytest.importorskip("ray._common.usage.usage_lib")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert usage.usage_stats_enabled() is False


def test_loss_of_workers_and_of_a_node_loses_no_study(cluster: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(16):
        write_study(tmp_path / "in" / f"case{number:02d}", "sleep 0.4")
    for word in ("killed", "memory", "unreadable"):
        write_study(tmp_path / "in" / word, word)
    first = add_node(cluster)
    add_node(cluster)
    seen = Seen()

    def lose_the_node() -> None:
        while len(seen.ends) < 4:
            time.sleep(0.05)
        cluster.remove_node(first, allow_graceful=False)
        add_node(cluster)

    thread = threading.Thread(target=lose_the_node)
    thread.start()
    totals = call(tmp_path / "in", out, engine=engine(cluster, out, 2), seen=seen, memory_bytes=_MEMORY)
    thread.join()
    assert (totals.done, totals.failed) == (16, 3)
    records = Records(out)
    for word, why in (("killed", Why.CRASH), ("memory", Why.MEMORY)):
        record = records.read(word)
        assert record is not None
        assert (record.state, record.why) == (State.QUARANTINED, why)
    begun = runs(out)
    assert {name for name in begun if name.startswith("case")} == {f"case{number:02d}" for number in range(16)}
    assert len([name for name in begun if name.startswith("case")]) <= 17  # the one that ran on the node was lost


def test_study_that_takes_too_long_is_killed(cluster: Any, tmp_path: Path) -> None:
    add_node(cluster)
    out = tmp_path / "out"
    write_study(tmp_path / "in" / "a", "hang")
    write_study(tmp_path / "in" / "b")
    call(tmp_path / "in", out, engine=engine(cluster, out, 1, timeout_s=3.0), timeout_s=3.0)
    assert states(out) == {"a": "quarantined", "b": "done"}


def test_workers_that_cannot_begin_end_the_batch(cluster: Any, tmp_path: Path) -> None:
    add_node(cluster)
    write_study(tmp_path / "in" / "a")
    with pytest.raises(JcsError, match="no worker can begin"):
        call(tmp_path / "in", tmp_path / "out", engine=engine(cluster, tmp_path / "out", 1, task=UNFIT_TASK))
