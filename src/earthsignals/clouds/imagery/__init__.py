"""Scenes on a local equal-area plane: files, index, ingest of pictures and foreign netCDF."""
