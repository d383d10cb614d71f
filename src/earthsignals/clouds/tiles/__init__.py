"""Triplets of tiles: where they lie, and the file that packs them."""
