"""Synthetic scenes whose organisation is known."""
