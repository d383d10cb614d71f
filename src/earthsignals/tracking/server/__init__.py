"""The team's MLflow server: what it is started with, whether that can work, its secrets and its life.

MLflow's own server does the serving. What is decided here: every caller has to log in, secrets go by
the environment and by files that only their owner reads (arguments can be read by every user of the
machine), the host check stays on, one worker and no job runner (0.5 GB of memory instead of 3).
"""

from __future__ import annotations

from earthsignals.tracking.server.life import launch
from earthsignals.tracking.server.plan import Server, plan_server
from earthsignals.tracking.server.secrets import prepare, read_environment

__all__ = ["Server", "launch", "plan_server", "prepare", "read_environment"]
