"""Names of the credit schemes. Help lists them, and help does not import torch, which the schemes need."""

SCHEME_NAMES = (
    "uniform",
    "entropy",
    "random",
    "position-matched",
    "first-error",
    "step-validity",
    "step-validity-gate",
    "step-validity-weights",
    "process-step-validity",
    "ktae",
    "input-gradient",
)
READOUT_SCHEME_NAMES = (
    "likelihood",
    "text",
    "likelihood-text",
    "likelihood-completeness",
    "first-error-likelihood",
    "first-error-likelihood-text",
    "process-likelihood",
    "process-likelihood-text",
)
"""Read without a dictionary and refitted on audits: successes paid by how likely they are to be valid; credited up to
the first step that is probably wrong (first-error); compared with each other by how likely they are valid (process)."""
LATENT_SCHEME_NAMES = (
    "latents",
    "residual",
    "first-error-latents",
    "first-error-residual",
    "process-latents",
    "process-residual",
)
"""The same, read at the layer of a dictionary, which these schemes need: by its latents, or by what they are of."""
TASK_SCHEME_NAMES = ("monte-carlo",)
"""These schemes need the task, whose verifier judges what they sample."""
FEATURE_SCHEME_NAMES = ("features", "features-gate", "features-weights", "features-control")
"""These schemes need a dictionary and the roles of its latents."""
