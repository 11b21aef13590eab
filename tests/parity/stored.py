"""Results of the Python side, kept between runs: they only depend on files, parameters and versions."""
import functools
import hashlib
import json
import pathlib
import shutil

from checks import versions

RECIPE = 3  # raise when the functions that make the results change what they make


@functools.cache
def digest(path):
    """SHA-256 of a file, or of every file of a folder."""
    path = pathlib.Path(path)
    if path.is_dir():
        return hashlib.sha256("".join(digest(p) for p in sorted(path.rglob("*")) if p.is_file()).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """Folders of results under `root`, named for what they were made from."""

    def __init__(self, root, fresh=False):
        self.root = pathlib.Path(root)
        self.fresh = fresh
        self.made = set()

    def folder(self, kind, make, files, **parameters):
        """The folder that `make(folder)` filled for these files and parameters; made at most once."""
        key = json.dumps([RECIPE, kind, [digest(f) for f in files], parameters, versions()], sort_keys=True, default=str)
        folder = self.root / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        finished = folder / "finished"
        if not finished.exists() or (self.fresh and folder not in self.made):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            finished.write_text(key)
        self.made.add(folder)
        return folder
