"""Waveforms as spectrograms: the transform, its scaling, and batches of images."""
