"""The bell says that a job waits somewhere: a list for idle workers, and a channel of the same name for those that draw.

Each ring of the list wakes one idle worker. The channel is heard by all, and only the first job of an empty queue rings there;
who misses it (a job that came back, an API of an earlier release) finds the job at the next look.
"""

from __future__ import annotations

BELL = "unclip:bell"
MAX_RINGS = 8
