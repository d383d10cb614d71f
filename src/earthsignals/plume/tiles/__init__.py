"""The tiles file: where to cut, what is stored, how a batch is turned and flipped."""
