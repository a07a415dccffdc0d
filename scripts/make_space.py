"""Make the folder of a Gradio Space with the demonstration: `python scripts/make_space.py FOLDER`.

It holds the package without the laboratory, and pins what it needs. Push it as the repository of a Space. Files of more
than 10 MB would need Git LFS; there is none.
"""

import re
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^([\w.-]+)==([^\s;]+)( ; [^\\\n]+)?", re.MULTILINE)
LEFT_OUT = shutil.ignore_patterns("trainers", "__pycache__")


def main(folder: Path) -> int:
    """Make the folder."""
    if folder.exists():
        print(f"{folder} is there already.", file=sys.stderr)
        return 1
    shutil.copytree(ROOT / "merau", folder / "merau", ignore=LEFT_OUT)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    metadata = folder / f"merau_live-{version}.dist-info" / "METADATA"  # by which the package knows its version
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: merau-live\nVersion: {version}\n", encoding="utf-8")
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    pins = PINNED.findall((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    versions = {name: version for name, version, _ in pins}
    requirements = "".join(f"{name}=={version}{marker}\n" for name, version, marker in pins)
    (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    shutil.copy(ROOT / "deploy" / "space" / "app.py", folder)
    readme = (ROOT / "deploy" / "space" / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(readme.format(gradio=versions["gradio"]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
