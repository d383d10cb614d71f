"""Ionospheric drift from SuperDARN radars: records → grids → forecasts judged against damped persistence."""
