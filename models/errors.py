"""What the models can refuse: one small tree, apart from the service's because this package imports nothing of ours."""

# ModelError
# ├─ CheckpointError   a model folder that cannot be used: a file missing, corrupt or altered, a foreign or absent tensor
# └─ SamplingError     a sampler, spacing, schedule or number of steps that does not exist


class ModelError(Exception):
    """Anything the models cannot do; the message names the thing, the value and the way out."""


class CheckpointError(ModelError):
    """A model folder, or one part of it, that cannot be loaded or written as asked."""


class SamplingError(ModelError):
    """A sampling plan that cannot be made or followed."""
