"""What the staged trainings learn from and start from."""

from pathlib import Path

import pytest
import torch

from merau.engine import bundle
from merau.trainers.data import flow_set
from merau.trainers.export.bundle import load_model


@pytest.fixture(scope="session")
def data(prepared_index):
    torch.set_num_threads(1)
    return flow_set.read(prepared_index)


@pytest.fixture(scope="session")
def start():
    return load_model(Path(bundle.__file__).parent / "bundles" / "default").flow
