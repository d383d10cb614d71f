"""How the networks are judged: against baselines, a floor and thresholds, with intervals over stations."""
