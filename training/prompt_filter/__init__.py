"""Labelled prompts, and what is fitted on their first half: the classifier of the prompt filter."""
