"""Synthetic flightlines: dispersion, ground, filter noise, and the folder of scenes they become."""
