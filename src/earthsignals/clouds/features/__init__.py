"""Classical descriptions of a tile, the baselines of an embedding."""
