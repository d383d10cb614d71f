"""How forecasts are judged: pairs of observation and prediction, skill with intervals, what is drawn."""
