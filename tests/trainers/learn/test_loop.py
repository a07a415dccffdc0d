"""One stage of a training in several processes."""

import json
import os
import socket
import subprocess
import sys

import numpy as np

WORKER = """
import sys, torch
from merau.trainers.learn.loop import Stage, fit
class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(5, 1)
    def forward(self, x, y):
        return ((self.net(x)[:, 0] - y) ** 2).mean()
torch.set_num_threads(1)
torch.manual_seed(0)
loss, x = Loss(), torch.randn(32, 5)
y, batch = x.sum(1), int(sys.argv[1])
optimizer = torch.optim.SGD(loss.parameters(), 0.05)
fit(Stage("toy", loss, optimizer, lambda: list(torch.randperm(32).split(batch)), lambda r: (x[r], y[r]), 3), seed=1)
print(loss.net.weight.flatten().tolist())
"""


def test_fit_two_processes_equal_one_with_double_batches():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [together | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    runs = [
        subprocess.Popen([sys.executable, "-c", WORKER, batch], env=os.environ | env, stdout=subprocess.PIPE, text=True)
        for batch, env in (("4", ranks[0]), ("4", ranks[1]), ("8", {}))
    ]
    one, other, alone = (json.loads(run.communicate(timeout=120)[0]) for run in runs)
    assert one == other
    assert np.allclose(one, alone, atol=1e-6)
