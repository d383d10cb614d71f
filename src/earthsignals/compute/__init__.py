"""Where and how things run: devices, seeds, and mapping work over processes."""
