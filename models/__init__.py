"""Tensors only: networks, CLIP, samplers, the stages of the cascade and checkpoints. No HTTP, Redis, S3 or environment."""
