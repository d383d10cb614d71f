"""DVC remotes: set up, checked and mended, reached through a tunnel, and a cache that several users share."""
