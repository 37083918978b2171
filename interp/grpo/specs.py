"""The spec of a credit scheme or a task, for the manifest of a run (`interp.artifacts.object_specs`)."""

from interp.artifacts.object_specs import spec_of

__all__ = ["spec_of"]
