#!/usr/bin/env bash
# FastAPI keeps the functions of every application, and what they refer to, after the last reference to it is gone.
# Seen with FastAPI 0.165.0: its caches, which classify functions as coroutines or generators, hold the functions themselves.
# A process that serves one application after the other, such as a test suite, keeps all that their routes' closures hold.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check fastapi==0.165.0 starlette==1.10.0
cd "$work"
venv/bin/python - <<'PYTHON'
import gc
import weakref
from importlib.metadata import version

from fastapi import Depends, FastAPI


class State:
    """What the routes of an application work on: nets, cameras, a store."""


def build(state):
    app = FastAPI()

    def current():
        return state

    @app.get("/")
    def root(found=Depends(current)):
        return {}

    return app


kept = []
for _ in range(5):
    state = State()
    kept.append(weakref.ref(state))
    app = build(state)
    del app, state
gc.collect()
alive = sum(state() is not None for state in kept)
print("fastapi", version("fastapi"), "- states of 5 applications still in memory:", alive)
assert alive == 5
PYTHON
