"""Earth-sensing models, simulated or ingested, trained, judged and published by `dvc repro`."""

__version__ = "0.1.0"

import os

# Idle OpenMP threads sleep instead of spinning: with two cores and anything else running, spinning
# threads slow a training tenfold and more. Read when torch loads its runtime; a value that is set wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
