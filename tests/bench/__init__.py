"""How fast it is, beside a floor: the same rows written by plain SQL in the same run. Ratios count, not times."""
