"""Earth-sensing models, simulated or ingested, trained, judged and published by `dvc repro`."""

__version__ = "0.1.0"
