"""Methane by tunable-diode-laser absorption: HITRAN lines to mole fraction with its interval."""
