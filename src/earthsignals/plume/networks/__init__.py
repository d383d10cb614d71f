"""Classifiers and a segmenter, and the ways to ask a classifier for every pixel of a scene."""
