"""What several tests share: one thread, so that tests beside each other do not fight for cores."""

from __future__ import annotations

import os
import tempfile

from hypothesis import settings

# Before torch is imported anywhere: two workers with two threads each wait for each other more than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("LANG", "C.UTF-8")
# What tests trust is nobody's own list.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="terakoya-tests-")

# A property is right or wrong; how long a busy machine takes to see it says nothing.
settings.register_profile("terakoya", deadline=None)
settings.load_profile("terakoya")
