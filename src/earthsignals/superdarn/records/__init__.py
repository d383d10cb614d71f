"""Records of SuperDARN radars: their file formats, and the line-of-sight vectors they hold."""
