"""Metrics in the Prometheus form, with labels of bounded number."""

from prometheus_client import disable_created_metrics

# When a series began is of no use to anybody here and doubles the text.
disable_created_metrics()  # type: ignore[no-untyped-call]
