"""Finished pictures, as bytes."""
