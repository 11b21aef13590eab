#!/usr/bin/env python3
"""Check that torch and Python geosam read the chip files of a feature folder.

    check_torch_writer.py FOLDER     # a folder that `geosam encode` wrote, or one with chip files in it
"""
import pathlib
import sys

import torch
from geosam.models import EncodedImageFeatures


def main():
    chips = sorted(pathlib.Path(sys.argv[1]).rglob("*.pt"))
    assert chips, f"no chip files in {sys.argv[1]}"
    for path in chips:
        for options in ({"mmap": True}, {"mmap": False}):
            payload = torch.load(path, weights_only=True, **options)
            assert isinstance(payload["src_shape"], tuple) and isinstance(payload["dst_shape"], tuple), path
            assert payload["feature_kind"] in ("sam", "sam2"), path
        features = EncodedImageFeatures.load(path)
        assert features.feature_kind == payload["feature_kind"], path
    print(f"torch {torch.__version__} and geosam read {len(chips)} chip files, the last: {features.describe()}")


if __name__ == "__main__":
    main()
