"""Peak memory of a measured process, on a GPU or, with the CPU in its place, in the machine."""
import pathlib
import subprocess
import threading

POLL_MS = 50


def of(device):
    """What watches the memory of a device, by its name (`cuda:0`, `cpu`)."""
    return Resident() if device == "cpu" else OnDevice(index(device))


def index(device):
    return device.partition(":")[2] or "0"


def name(device):
    """Name, driver and memory of a GPU; None without NVIDIA's tools."""
    ask = ["nvidia-smi", f"--id={index(device)}", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return None if device == "cpu" else subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


class OnDevice:
    """MB in use on a GPU above those in use before a process started, polled; its context and allocator's reserve count.
    None without nvidia-smi."""

    def __init__(self, index):
        self.used, self.before, self.most, self.process = None, None, None, None
        ask = ["nvidia-smi", f"--id={index}", "--query-gpu=memory.used", "--format=csv,noheader,nounits", f"--loop-ms={POLL_MS}"]
        try:
            self.process = subprocess.Popen(ask, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError:
            return
        threading.Thread(target=self._poll, daemon=True).start()

    def _poll(self):
        for line in self.process.stdout:
            if line.strip().isdigit():
                self.used = int(line)
                self.most = max(self.most or 0, self.used)

    def started(self, pid):
        self.before = self.most = self.used

    def loaded(self):
        self.most = self.used

    def peak(self):
        return None if None in (self.most, self.before) else self.most - self.before

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait()


class Resident:
    """The kernel's peak of a process's resident memory, MB; None elsewhere than on Linux."""

    def started(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")

    def loaded(self):
        try:
            (self.folder / "clear_refs").write_text("5")  # the peak starts anew
        except OSError:
            pass

    def peak(self):
        try:
            lines = (self.folder / "status").read_text().splitlines()
        except OSError:
            return None
        peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
        return peaks[0] if peaks else None

    def close(self):
        pass
