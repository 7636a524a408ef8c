"""Clocks that jump: a library before libc's adds to the time of day what a file says; clocks that only count are left alone.

Needs a C compiler; without one there are no such clocks, and a jump does nothing.
"""

from __future__ import annotations

import atexit
import ctypes
import mmap
import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

PRELOAD = "LD_PRELOAD"
VARIABLE = "FAULT_CLOCK_FILE"
"""Names the clock of a process that is started with the library and goes by it from its start."""
SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile int64_t *ahead;

void fault_clock(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *map = file < 0 ? MAP_FAILED : mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) ahead = map;
}

__attribute__((constructor)) static void at_start(void) {
    const char *path = getenv("FAULT_CLOCK_FILE");
    if (path) fault_clock(path);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, at);
    if (!status && ahead && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += *ahead;
    return status;
}

int gettimeofday(struct timeval *at, void *zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(at, zone);
    if (!status && ahead) at->tv_sec += *ahead;
    return status;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@cache
def library() -> Path | None:
    """Compile the library once a process; None where that cannot be done."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    folder = tempfile.TemporaryDirectory(prefix="clock-")
    atexit.register(folder.cleanup)
    built = Path(folder.name) / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(built), "-ldl"]
    done = subprocess.run(command, check=False, input=SOURCE, capture_output=True, text=True)
    return built if done.returncode == 0 else None


def preloaded() -> dict[str, str]:
    """Return what to add to the environment of a process that is to have such a clock."""
    built = library()
    return {} if built is None else {PRELOAD: str(built)}


class Clock:
    """The clock of one process, right until it is set otherwise; `file` outlives the process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_bytes(struct.pack("q", 0))

    def set(self, seconds_ahead: int) -> None:
        """Let it go wrong by so much, at once; 0 puts it right."""
        with self.file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:
            memory[:] = struct.pack("q", seconds_ahead)


def go_by(file: str) -> None:
    """Have this process, which was started with the library, go by a clock's file."""
    ctypes.CDLL(None).fault_clock(file.encode())
