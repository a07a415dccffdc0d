"""The file of a few-shot head: the samples it was fitted to, as safetensors. The fit is repeated on loading.

Arrays, one row a sample: `embedding` (N, d), `probabilities` (N, classes of the bundle) and `aus` (N, Action Units),
all float32. Metadata: `bundle_sha256`, `kind`, and as JSON lists `labels` (N), `known` and `aus`, the names of the
columns of `probabilities` and `aus`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as deserialize

from merau.engine import heads
from merau.engine.arrays_file import serialize
from merau.engine.bounded import read_bounded
from merau.engine.bundle import HEAD, Bundle, find_shipped
from merau.engine.card import is_name
from merau.engine.errors import UserError
from merau.engine.files import atomic_write

MAX_BYTES = 32_000_000


@dataclass(frozen=True)
class HeadFile:
    """Content of a few-shot head's file: metadata and arrays as described above."""

    metadata: dict[str, str]
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(
        cls,
        bundle_sha256: str,
        kind: str,
        labels: Sequence[str],
        embeddings: Sequence[np.ndarray],
        probabilities: Sequence[Mapping[str, float]],
        aus: Sequence[Mapping[str, float]],
    ) -> "HeadFile":
        """Arrange samples as arrays; the first sample defines the columns."""
        known, units = tuple(probabilities[0]), tuple(aus[0])
        metadata = {
            "bundle_sha256": bundle_sha256,
            "kind": kind,
            "labels": json.dumps(list(labels)),
            "known": json.dumps(known),
            "aus": json.dumps(units),
        }
        arrays = {
            "embedding": np.stack(embeddings).astype(np.float32),
            "probabilities": as_table(probabilities, known),
            "aus": as_table(aus, units),
        }
        return cls(metadata, arrays)

    @property
    def content(self) -> bytes:
        """The bytes of the file; equal samples give equal bytes."""
        return serialize(self.arrays, self.metadata)

    def write(self, path: Path) -> None:
        """Write the file.

        Raises:
            UserError: It cannot be written. An earlier file at `path` stays whole.
        """
        with atomic_write(path) as file:
            file.write(self.content)

    @classmethod
    def read(cls, path: Path) -> "HeadFile":
        """Read a file without checking what it holds.

        Raises:
            UserError: There is no such file, or it is not safetensors.
        """
        try:
            data = read_bounded(path, MAX_BYTES)
            arrays = deserialize(data)  # first, as it checks the size of the metadata
            return cls(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}, arrays)
        except OSError as error:
            reason = error.strerror or error
            raise UserError("The head {file} cannot be read: {reason}.", file=path, reason=reason) from error
        except (SafetensorError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise not_a_head(path) from error

    def rows(self, bundle: Bundle) -> list[tuple[str, np.ndarray, dict[str, float], dict[str, float]]]:
        """Label, embedding, probabilities and Action Units of each sample.

        Raises:
            ValueError, KeyError, TypeError, RecursionError: The content cannot be that of a head fitted to `bundle`.
        """
        labels, known, units = (json.loads(self.metadata[name]) for name in ("labels", "known", "aus"))
        if not all(isinstance(names, list) for names in (labels, known, units)):
            raise ValueError
        embeddings, probabilities, aus = (self.arrays[name] for name in ("embedding", "probabilities", "aus"))
        if (
            self.metadata["kind"] not in heads.KINDS
            or not all(is_name(label) for label in labels)
            or set(known) != set(bundle.card["classes"])
            or not set(units) <= set(bundle.card["aus"])
            or embeddings.shape != (len(labels), heads.load(bundle.content[HEAD]).dimension)
            or not all(array.dtype == np.float32 for array in (embeddings, probabilities, aus))
            or not all(((values >= 0) & (values <= 1)).all() for values in (probabilities, aus))
        ):
            raise ValueError
        return [
            (label, embedding, dict(zip(known, p, strict=True)), dict(zip(units, u, strict=True)))
            for label, embedding, p, u in zip(labels, embeddings, probabilities.tolist(), aus.tolist(), strict=True)
        ]


def bundle_of_head(path: Path) -> str:
    """Sha256 of the bundle that the head at `path` was fitted to; empty if the file does not state it.

    Raises:
        UserError: There is no head at `path`.
    """
    return HeadFile.read(path).metadata.get("bundle_sha256", "")


def not_a_head(path: Path) -> UserError:
    """Build the error for a file that is not a few-shot head."""
    return UserError("{file} is not a head file of merau.", file=path.name)


def other_bundle(path: Path, sha256: str, bundle: Bundle) -> UserError:
    """Build the error for a head that was fitted to the bundle with `sha256` instead of `bundle`."""
    if find_shipped(sha256):
        return UserError(
            "{file} was fitted to another bundle than {bundle}: start merau with this --head and without --bundle.",
            file=path.name,
            bundle=bundle.name,
        )
    return UserError(
        "{file} was fitted to a bundle that this version does not include, perhaps an older one: fit its samples again "
        "from their clips or images (merau adapt), or start merau with that --bundle.",
        file=path.name,
    )


def as_table(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> np.ndarray:
    """Arrange the values of `rows` as (N, len(names)) float32."""
    return np.array([[row[name] for name in names] for row in rows], np.float32)
