"""How many devices listen."""

from collections.abc import Sized

from server.metrics.gauges import Gauges


def gauge_listeners(gauges: Gauges, listeners: Sized) -> None:
    """A gauge that says how many listeners there are."""
    gauges.add("croft_live_listeners", "Devices that are told of news.", lambda: len(listeners))
