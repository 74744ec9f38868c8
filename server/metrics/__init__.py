"""Metrics in the Prometheus form, with labels of bounded number."""
