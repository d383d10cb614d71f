"""Local earthquakes and noise as regional networks would record them, without any download."""
