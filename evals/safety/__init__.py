"""How much the prompt filter catches, and how much it refuses that is harmless."""
