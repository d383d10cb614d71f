"""The engine behind a saliency map: blocks, devices, resume, self-check, files."""
