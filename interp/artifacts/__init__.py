"""Artifacts on disk: written atomically, with a manifest of their inputs, and refused if anything differs.

writing         atomic writes of files and directories; `reserve` a place before long work
locks           one process at a time writes a place
manifests       `manifest.json`: kind, config, fingerprints of the inputs, checksums of the files
checksums       sizes and checksums of files
artifact        `open_artifact`: the reader of a directory with a manifest
json_files      JSON documents, and logs of one record per line
safetensors_header  shapes of tensors, read within bounds
specs           `open_or_create`: open an artifact made from the same inputs, or refuse it
object_specs    `spec_of`: class and settings of an object, as JSON
configs         config dataclasses as JSON
fingerprints    fingerprints of text, configs and tensors
foreign_errors  what libraries raise, turned into refusals
package_data    files that are shipped with the package
errors          `BadInput` and `Mismatch`
"""

from interp.artifacts.artifact import Artifact, add_checksums, open_artifact, read_parquet
from interp.artifacts.checksums import (
    compare_file,
    compare_sizes,
    inside,
    integrity,
    record_file,
    record_files,
    set_integrity,
)
from interp.artifacts.configs import from_json, to_json
from interp.artifacts.errors import BadInput, Mismatch
from interp.artifacts.fingerprints import fingerprint, fingerprint_config, fingerprint_tensors, same_fingerprint
from interp.artifacts.foreign_errors import reading, refusing_failed_writes
from interp.artifacts.json_files import append_line, log_line, parse_json, read_lines
from interp.artifacts.locks import InUse, locked
from interp.artifacts.manifests import (
    CHECKSUM,
    MANIFEST,
    SCHEMA,
    is_kind,
    is_ours,
    own_manifest,
    parse_manifest,
    read_manifest,
    recorded_files,
    versions,
    with_checksum,
    write_manifest,
)
from interp.artifacts.object_specs import spec_of
from interp.artifacts.package_data import package_data
from interp.artifacts.safetensors_header import Header, read_header
from interp.artifacts.specs import describe_changes, flatten, open_or_create
from interp.artifacts.writing import (
    expect_free,
    expect_writable,
    recover,
    recover_inside,
    remove_dir,
    reserve,
    write_json,
    writing_dir,
    writing_file,
)

__all__ = [
    "CHECKSUM",
    "MANIFEST",
    "SCHEMA",
    "Artifact",
    "BadInput",
    "Header",
    "InUse",
    "Mismatch",
    "add_checksums",
    "append_line",
    "compare_file",
    "compare_sizes",
    "describe_changes",
    "expect_free",
    "expect_writable",
    "fingerprint",
    "fingerprint_config",
    "fingerprint_tensors",
    "flatten",
    "from_json",
    "inside",
    "integrity",
    "is_kind",
    "is_ours",
    "locked",
    "log_line",
    "open_artifact",
    "open_or_create",
    "own_manifest",
    "package_data",
    "parse_json",
    "parse_manifest",
    "read_header",
    "read_lines",
    "read_manifest",
    "read_parquet",
    "reading",
    "record_file",
    "record_files",
    "recorded_files",
    "recover",
    "recover_inside",
    "refusing_failed_writes",
    "remove_dir",
    "reserve",
    "same_fingerprint",
    "set_integrity",
    "spec_of",
    "to_json",
    "versions",
    "with_checksum",
    "write_json",
    "write_manifest",
    "writing_dir",
    "writing_file",
]
