"""What may be drawn: the prompt filter, and the policy words it speaks. Imports no torch and nothing of ours."""
