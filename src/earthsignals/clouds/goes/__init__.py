"""GOES-R scenes: buckets, downloads, composites."""
