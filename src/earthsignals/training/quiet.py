"""What Lightning says at every start and no user can act upon is not said."""

from __future__ import annotations

import logging
import warnings


def hush() -> None:
    """Keep Lightning's announcements of devices and products back; errors and warnings still come through.

    Ignored are the warnings of its use of an old torch name, its advice to use more loader workers, wrong
    for data that lies in memory, and to use srun, wherever that is installed.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="The `srun` command is available.*")
