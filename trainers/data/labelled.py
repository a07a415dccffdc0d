"""Labelled flows from any file that merau-lab writes.

That is drawn flow, image pairs, or a flow set.
"""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from merau.engine.csv_table import is_csv
from merau.engine.errors import UserError
from merau.trainers.data import flow_set
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import Flows
from merau.trainers.data.synth.image_pairs import ImagePairs, measure


def read(path: Path, *, method: str = "dis") -> Flows:
    """Read a flow set, drawn flow or image pairs.

    That is a CSV, or the .npz of `merau-lab synth flows` or `synth pairs`; the flow of pairs is measured.

    Raises UserError where `path` is none of these.
    """
    if is_csv(path):
        return read_set(path)
    try:
        with np.load(path) as stored:
            columns = dict(stored)
        if "onset" in columns:
            return measure(ImagePairs(**columns), method=method)
        return Flows(**columns)
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise UserError(
            f"{path} holds no labelled flows ({error}): write it with `merau-lab synth flows` or `synth pairs`."
        ) from error


def read_set(index: Path) -> Flows:
    """Return the labelled samples of a flow set in random order.

    Their magnitude and their Action Units are unknown.

    Raises UserError where there is none.
    """
    data = flow_set.read(index)
    data = data.take(data.label != flow_set.UNLABELLED)
    if not len(data):
        raise UserError(f"{index} holds no labelled sample.")
    data = data.take(np.random.default_rng(0).permutation(len(data)))  # data sets are often sorted by class
    unknown = np.full((len(data), len(AUS)), np.nan, np.float32)
    return Flows(flow_set.read_flows(data), data.label, unknown, np.zeros(len(data)), np.zeros(len(data), bool))
