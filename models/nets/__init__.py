"""The networks of an unCLIP cascade, with diffusers' parameter names so that public checkpoints load strictly."""
