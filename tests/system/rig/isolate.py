"""A private network, process table and mount table for one test file.

Fixed ports inside it collide with nothing, and when its first process ends
the kernel ends every process that a test may have left behind.
"""

import ctypes
import os
import signal
import subprocess
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC_PRIVATE = 0x4000 | 0x40000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        sys.exit(f"system tests: {what}: {os.strerror(number)} (they need root)")


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _exit_code(status):
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _first_process(main):
    """Process 1 of the new process table: adopts and reaps orphans."""
    _die_with_parent()
    # Only /proc changes, and it is a mount point even where / is none (chroot).
    _check(_libc.mount(b"none", b"/proc", None, MS_REC_PRIVATE, None), "private /proc")
    _check(_libc.mount(b"proc", b"/proc", b"proc", 0, None), "mount /proc")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = main()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    while True:
        pid, status = os.wait()
        if pid == child:
            return _exit_code(status)


def run_isolated(main):
    """Run `main` (which returns an exit code) in namespaces of its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    middle = os.fork()
    if middle == 0:
        _die_with_parent()
        _check(_libc.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID), "unshare")
        first = os.fork()
        if first == 0:
            code = 70
            try:
                code = _first_process(main)
            except SystemExit as stop:
                print(stop, file=sys.stderr)
            finally:
                sys.stderr.flush()
                os._exit(code)
        os._exit(_exit_code(os.waitpid(first, 0)[1]))
    return _exit_code(os.waitpid(middle, 0)[1])
