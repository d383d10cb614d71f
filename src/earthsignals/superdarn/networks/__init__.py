"""The network of 3-D attention over time lags × magnetic latitude × magnetic local time."""
