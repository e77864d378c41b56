"""The campaign's modules stand beside its script, which is run by itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
# The tests run them, in a process of its own.
collect_ignore = ["fuzz.py", "kinds.py", "lines.py", "stored.py"]
