"""Metrics of a server of several processes: each counts into files of its own, and any of them tells the sum.

The files outlive their process. The one that takes its place goes on with them, so no counter ever falls.
"""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector


class SharedRegistry(CollectorRegistry):
    """Collects what all workers have counted. A gauge in it needs a `multiprocess_mode` that begins with `live`."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self._files = MultiProcessCollector(None, str(directory))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """The sums over all workers."""
        return self._files.collect()  # type: ignore[no-untyped-call,no-any-return]


class WorkersCollector(Collector):
    """Processor, memory and files of each worker, with its number as the label `worker`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        """What ProcessCollector tells of one process, of all of them."""
        families: dict[str, Metric] = {}
        for file in sorted(self._directory.glob("worker_*.pid")):
            number = file.stem.removeprefix("worker_")
            for metric in ProcessCollector(pid=partial(_read, file), registry=None).collect():
                family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    family.add_sample(sample.name, {**sample.labels, "worker": number}, sample.value)
        yield from families.values()


def share_metrics(directory: Path, worker: int) -> SharedRegistry:
    """Makes all metrics that this process makes from now on count into the directory, as those of the worker."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
    _process_file(directory, worker).write_text(str(os.getpid()))
    return SharedRegistry(directory)


def forget_worker(directory: Path, worker: int) -> None:
    """Takes away what only a living worker has: its gauges and its process. What it has counted stays."""
    _process_file(directory, worker).unlink(missing_ok=True)
    mark_process_dead(worker, str(directory))  # type: ignore[no-untyped-call]


def _process_file(directory: Path, worker: int) -> Path:
    return directory / f"worker_{worker}.pid"


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:  # it has ended just now
        return "0"
