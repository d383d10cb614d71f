"""Flightlines, masks and tiles on disk: read with care, written whole, dealt to splits by day."""
