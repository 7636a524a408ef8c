"""Speed as ratios: two arms alive in one run on one machine, taken in turn."""
