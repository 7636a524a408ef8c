"""What the models can refuse: one small tree, apart from the service's because this package imports nothing of ours."""

# ModelError
# ├─ CheckpointError   a model folder that cannot be used: a file missing, corrupt or altered, a foreign or absent tensor
# ├─ SamplingError     a sampler, spacing, schedule or number of steps that does not exist
# ├─ InpaintingError   a picture and mask that do not fit, or a model that cannot inpaint
# ├─ LatentUnusable    a latent that cannot be read, or that is another model's
# ├─ SourceUnfit       a picture that the operation cannot begin from
# ├─ PartMissing       a request for a part that the model folder does not have
# └─ BackendUnusable   a way to compute that this machine does not offer


class ModelError(Exception):
    """Anything the models cannot do; the message names the thing, the value and the way out."""


class CheckpointError(ModelError):
    """A model folder, or one part of it, that cannot be loaded or written as asked."""


class SamplingError(ModelError):
    """A sampling plan that cannot be made or followed."""


class InpaintingError(ModelError):
    """A picture and mask that cannot be used, or a model whose decoder has no channels for them."""


class PartMissing(ModelError):
    """A request that needs a part which the model was packed without."""

    def __init__(self, model: str, part: str) -> None:
        super().__init__(f"the model {model!r} has no part {part!r}; ask for another, or pack the model with it")


class LatentUnusable(ModelError):
    """A latent that cannot be read, or that is another model's."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the latent cannot be used: {why}; encode the picture again")


class SourceUnfit(ModelError):
    """A picture that the operation cannot begin from."""


class BackendUnusable(ModelError):
    """A way to compute that is not installed, or that this machine cannot follow."""

    def __init__(self, why: str, way_out: str) -> None:
        super().__init__(f"the nets cannot be compiled: {why}; {way_out}, or compute with torch")
