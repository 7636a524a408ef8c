"""Make `.venv`: a thin environment over a shared, hash-checked set of packages.

The packages of `requirements.lock` are several gigabytes, so they are installed once per lock, Python and platform
below the user's cache folder and found again by the hash of all three. `.venv` itself holds only this checkout (editable)
and a `.pth` file that points at the shared packages, so a second checkout or a second `make setup` takes seconds.
Runs on the standard library alone, with any Python the project supports.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PYTHONS = ((3, 11), (3, 12), (3, 13))
FREE_BYTES_NEEDED = 9 * 2**30


def main() -> None:
    """Bring `.venv` in step with the lock file; does nothing when it already is."""
    if sys.version_info[:2] not in PYTHONS:
        sys.exit(f"unclip needs Python 3.11, 3.12 or 3.13; this is {platform.python_version()}. Try: make PYTHON=python3.12")
    key = lock_key()
    stamp = ROOT / ".venv" / "unclip-setup"
    fingerprint = f"{key} {ROOT} {hashlib.sha256((ROOT / 'pyproject.toml').read_bytes()).hexdigest()}"
    packages = cache_root() / f"env-{key}"
    if stamp.exists() and stamp.read_text() == fingerprint and (packages / "complete").exists():
        return
    packages.parent.mkdir(parents=True, exist_ok=True)
    with (packages.parent / f"env-{key}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (packages / "complete").exists():
            install_packages(packages)
    link_checkout(packages)
    stamp.write_text(fingerprint)


def lock_key() -> str:
    """Name what the shared packages depend on: the lock, the Python and the machine."""
    about = f"{platform.python_version()} {sys.implementation.name} {platform.machine()} {sys.platform}".encode()
    return hashlib.sha256(LOCK.read_bytes() + about).hexdigest()[:16]


def cache_root() -> Path:
    """Where shared packages live: `$UNCLIP_CACHE_DIR`, else the user's cache folder."""
    given = os.environ.get("UNCLIP_CACHE_DIR")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unclip"


def install_packages(packages: Path) -> None:
    """Install the lock file, every hash checked, into an environment of its own."""
    free = shutil.disk_usage(packages.parent).free
    if free < FREE_BYTES_NEEDED:
        sys.exit(f"{packages.parent} has {free / 2**30:.1f} GiB free; setting up takes about 6.5 GiB and some room to unpack")
    print(f"Installing packages into {packages} (once for this lock file; several minutes on a slow network) …", flush=True)
    started = time.monotonic()
    shutil.rmtree(packages, ignore_errors=True)
    venv.create(packages, with_pip=True)
    install_locked(packages)
    (packages / "complete").write_text(lock_key())
    print(f"Packages ready after {time.monotonic() - started:.0f} s.", flush=True)


def install_locked(packages: Path) -> None:
    """Run pip over the lock file, counting packages as they arrive. Exits with pip's own words where it fails."""
    command = [*pip_of(packages), "install", "--require-hashes", "--no-deps", "--progress-bar", "off", "-r", str(LOCK)]
    total = sum(line[:1].isalnum() for line in LOCK.read_text().splitlines())  # a few are for other systems
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            said.append(line)
            if line.startswith("Collecting "):
                show(f"  fetching {sum(text.startswith('Collecting ') for text in said)} of at most {total}: {line.split()[1]}")
            elif line.startswith("Installing collected packages"):
                show("  unpacking …")
    show("")
    if pip.returncode:
        sys.exit(
            "".join(said[-20:]) + f"pip could not install {LOCK.name}; nothing was changed, so the same command tries again"
        )


def show(text: str) -> None:
    """One line that overwrites itself on a terminal, and lines of their own elsewhere."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)
    elif text:
        print(text, flush=True)


def link_checkout(packages: Path) -> None:
    """Make `.venv` see the shared packages and this checkout."""
    home = ROOT / ".venv"
    venv.create(home, clear=True, with_pip=False, symlinks=True)
    site = Path(f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")
    (home / site / "unclip-packages.pth").write_text(f"{packages / site}\n")
    pip = [*pip_of(packages), "-qq", "--python", str(home / "bin" / "python")]
    subprocess.run([*pip, "install", "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)


def pip_of(packages: Path) -> list[str]:
    """The pip of the shared packages."""
    return [str(packages / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]


if __name__ == "__main__":
    main()
