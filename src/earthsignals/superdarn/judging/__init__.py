"""How forecasts are judged: pairs of observation and prediction, skill, intervals, and what is drawn of them."""
