"""What a folder of records holds: when each radar was recorded, and when none was."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.superdarn.figures.inputs import Inputs
