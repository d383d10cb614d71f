"""The networks of the seismic pipeline."""
