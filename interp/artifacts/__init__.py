"""Artifacts on disk: written atomically, with a manifest of their inputs, and refused if the inputs differ.

writing        atomic writes of files and directories
manifests      `manifest.json`: kind, config and fingerprints of the inputs
specs          `open_or_create`: open an artifact made from the same inputs, or refuse it
configs        config dataclasses as JSON
fingerprints   fingerprints of text, configs and tensors
package_data   files that are shipped with the package
errors         `BadInput` and `Mismatch`
"""

from interp.artifacts.configs import from_json, to_json
from interp.artifacts.errors import BadInput, Mismatch
from interp.artifacts.fingerprints import fingerprint, fingerprint_config, fingerprint_tensors
from interp.artifacts.manifests import MANIFEST, SCHEMA, is_kind, read_manifest, versions, write_manifest
from interp.artifacts.package_data import package_data
from interp.artifacts.specs import describe_changes, flatten, open_or_create
from interp.artifacts.writing import expect_free, expect_writable, recover, write_json, writing_dir, writing_file

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "BadInput",
    "Mismatch",
    "describe_changes",
    "expect_free",
    "expect_writable",
    "fingerprint",
    "fingerprint_config",
    "fingerprint_tensors",
    "flatten",
    "from_json",
    "is_kind",
    "open_or_create",
    "package_data",
    "read_manifest",
    "recover",
    "to_json",
    "versions",
    "write_json",
    "write_manifest",
    "writing_dir",
    "writing_file",
]
