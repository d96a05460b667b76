"""What Terakoya is measured by, run from the repository's root: `python -m benchmarks.speed.startup --help`.

speed    time, memory and operator counts, as ratios to a peer measured in the same run
quality  accuracy of trained models, and validity of the statistics that judge them
faults   injected faults, crash tests and fuzzing: what is detected, and what survives

Pages and values are written to benchmarks/results/, run folders to benchmarks/work/ (not under version control).
"""

import sys
from pathlib import Path

# Servers, clusters, injected training faults and tiny checkpoints are shared with the tests.
_SHARED = ("annotation", "data", "generation", "models", "sweeps", "training", "web")
sys.path += [str(Path(__file__).parent.parent / "tests" / folder) for folder in _SHARED]
