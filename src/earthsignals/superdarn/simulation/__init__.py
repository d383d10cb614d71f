"""Synthetic days: solar wind → convection and turbulence → what radars see of them → grid files."""
