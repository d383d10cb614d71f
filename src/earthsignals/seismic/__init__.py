"""Seismic waveforms: three components → spectrograms → reconstruction, denoising, embedding, anomaly."""
