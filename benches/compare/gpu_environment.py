"""Where NVIDIA's run-time compiler (NVRTC) and CUDA's headers are, which our binary compiles its kernels with."""
import glob
import json
import os
import pathlib
import subprocess

TOOLKITS = ["/usr/local/cuda", "/opt/cuda", *sorted(glob.glob("/usr/local/cuda-*"), reverse=True)]
LIBRARIES = ["lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"]
HEADERS = ["cuda_fp16.h", "mma.h", "crt/mma.h"]  # the last is part of the package nvidia-cuda-crt


def of(device, python, work):
    """The environment of a measured process, and in words what is missing. `work` receives a link."""
    environment = dict(os.environ)
    if not device.startswith(("cuda", "auto")):
        return environment, []
    roots = [os.environ[name] for name in ("CUDA_PATH", "CUDA_HOME") if os.environ.get(name)] + TOOLKITS
    roots = list(map(pathlib.Path, roots)) + wheels(python)
    libraries = [library for root in roots for library in compilers(root)]
    # Wheels of CUDA 12 hold the compiler in one folder and the headers in another.
    homes = [root for root in roots if all((root / "include" / header).exists() for header in HEADERS)]
    missing = []
    if libraries:
        # The binary asks for libnvrtc.so, which wheels have under its version's name only.
        link = work / "libnvrtc.so"
        link.symlink_to(libraries[0])
        before = environment.get("LD_LIBRARY_PATH")
        environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [str(work), str(libraries[0].parent), before]))
    else:
        missing.append("no libnvrtc was found: install a CUDA toolkit and set CUDA_PATH, or pip install nvidia-cuda-nvrtc")
    if homes:
        environment["CUDA_PATH"] = str(homes[0])
    else:
        missing.append(f"no folder with CUDA's headers ({', '.join(HEADERS)}) was found: install a CUDA toolkit and set "
                       "CUDA_PATH, or pip install nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl")
    return environment, missing


def compilers(root):
    """NVRTC libraries below a root, plain names first."""
    return [path for folder in LIBRARIES for path in sorted((root / folder).glob("libnvrtc.so*"))]


def wheels(python):
    """Folders of NVIDIA's packages in a Python environment: nvidia/cu13, nvidia/cuda_nvrtc, …"""
    ask = "import json, sys; print(json.dumps([path for path in sys.path if path]))"
    try:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [root for path in json.loads(done.stdout) for root in sorted(pathlib.Path(path).glob("nvidia/cu*"))]
