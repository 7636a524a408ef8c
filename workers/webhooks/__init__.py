"""The webhook sender: a process of its own, from its own RQ queue, without torch. The engine never sends."""
