"""What a prompt means: the frozen sentence tower in numpy, and a small classifier on top of it."""
