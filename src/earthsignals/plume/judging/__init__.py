"""Scores of tiles, pixels, plumes and rates, with intervals over flightlines."""
