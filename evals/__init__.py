"""Measures of a cascade: does it draw what is asked, and how fast."""
