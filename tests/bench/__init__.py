"""How fast it is, beside a floor: the same rows by plain asyncpg in the same run. Ratios count, not times.

`python -m tests.bench --help` says what can be chosen. Both sides are driven by processes of their own, from requests
and parameters that were made before the clock started.
"""
