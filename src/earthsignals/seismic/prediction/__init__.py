"""The parts of prediction: inputs of any kind, windows over any length, outputs that appear whole."""
