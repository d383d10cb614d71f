"""Methane plumes in airborne imagery: matched-filter flightlines → exact saliency → plumes and kg/h."""
