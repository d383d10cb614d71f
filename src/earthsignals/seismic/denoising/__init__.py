"""Removing noise: mixing it in at a known level, masking it out again, and judging what is left."""
