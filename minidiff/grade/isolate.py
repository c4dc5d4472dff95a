"""What keeps an answer's process in: limits, another user, and on Linux namespaces of its own."""

import contextlib
import ctypes
import os
import signal
import site
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(os.path.abspath(__file__)).parents[1]  # as import has it
USER = 59_000  # with no account; the process's number is added, so that gradings at once are different users
_FILE = 16 * 2**20  # bytes of the largest file that an answer may write
# the kernel's numbers, from its headers
_NEW = 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount, uts, ipc, user, pid, net
_PRIVATE, _BIND = 1 << 18 | 1 << 14, 1 << 12 | 1 << 14  # with all that is mounted below
_INSIDE = 1 << 1 | 1 << 2  # no rights by files, no devices
_READ_ONLY, _NO_SETUID, _BELOW, _MOUNT_SETATTR = 1, 2, 0x8000, 442
_PDEATHSIG, _SUBREAPER, _DUMPABLE, _NO_NEW_PRIVS = 1, 36, 4, 38


def _libc(name: str, *args) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    plain = [a.encode() if isinstance(a, str) else a for a in args]
    if getattr(library, name)(*plain) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def prctl(option: int, value: int) -> None:
    """On Linux; elsewhere nothing."""
    if sys.platform == "linux":
        _libc("prctl", option, value, 0, 0, 0)


def dies_with_parent() -> None:
    prctl(_PDEATHSIG, signal.SIGKILL)


def adopts_orphans() -> None:
    """What descendants leave running becomes a child of this process."""
    prctl(_SUBREAPER, 1)


def unreadable() -> None:
    """No other process of the same user may look into this one and those that it forks."""
    prctl(_DUMPABLE, 0)


def other_user() -> int | None:
    """The user that answers run as: one without an account or rights where this process is root, else None."""
    return USER + os.getpid() % 5000 if os.geteuid() == 0 else None


def closed() -> Path | None:
    """The folder that keeps other users from Python, its libraries or the package, if there is one."""
    above = {parent for path in _shown() for parent in Path(path).parents}
    return next((folder for folder in sorted(above) if not os.stat(folder).st_mode & 1), None)


# --- an answer's process ---


def start(folder: str, life: Callable[[], None]) -> None:
    """Fork a process that runs `life` in the folder."""
    if os.fork() == 0:
        try:
            _started()
            os.chdir(folder)
            life()
        finally:
            os._exit(0)


def _started() -> None:
    """The process comes from one that waits for none and may not be read."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    dies_with_parent()
    prctl(_DUMPABLE, 1)  # so that its files in /proc, and what it writes there, are its user's


def start_alone(folder: str, user: int | None, life: Callable[[], None]) -> int:
    """Fork a process that runs `life` in new namespaces, with a file system of only what Python and the package need.

    `folder` is where it is put together; in it everything is read-only but /work, 64 MiB that are gone afterwards.
    Returns the number of a process that ends when `life` has, with status 0 unless something failed.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _started()
            _libc("unshare", _NEW)
            theirs.sendall(b"x")
            if not theirs.recv(1):
                raise OSError("the new namespace got no users")
            theirs.close()
            _wait_for(lambda: _as_first(folder, life))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    theirs.close()
    with ours, contextlib.suppress(OSError):
        if ours.recv(1):
            _write_maps(pid, user)
            ours.sendall(b"x")
    return pid


def _wait_for(function: Callable[[], None]) -> None:
    """Run a function in a fork, and end as that does."""
    pid = os.fork()
    if pid == 0:
        dies_with_parent()
        function()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 255)


def _as_first(folder: str, life: Callable[[], None]) -> None:
    """As process 1 of its namespace, which limits do not end: what is to be limited is a fork."""
    _new_root(folder)
    _wait_for(life)


def try_namespaces() -> None:
    """Enter namespaces in the folder that the command line names; the exit status says whether that worked."""
    user = other_user()
    pid = start_alone(sys.argv[1], user, lambda: confine(5, 2**30, user, True))
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status) & 255)


def _write_maps(pid: int, user: int | None) -> None:
    """From outside a new user namespace: root maps itself and the other user, anyone else only himself."""
    ids = {os.geteuid(): os.getegid()} | ({} if user is None else {user: user})
    if user is None:
        Path(f"/proc/{pid}/setgroups").write_text("deny", encoding="ascii")
    for name, numbers in (("uid_map", ids), ("gid_map", ids.values())):
        Path(f"/proc/{pid}/{name}").write_text("\n".join(f"{n} {n} 1" for n in numbers), encoding="ascii")


def _new_root(root: str) -> None:
    _libc("mount", None, "/", None, _PRIVATE, None)
    _libc("mount", "tmpfs", root, "tmpfs", _INSIDE, "size=1m,mode=755")
    for path in _shown():
        _show(path, root)
    for path in ("proc", "work"):
        os.makedirs(f"{root}/{path}", exist_ok=True)
    for hidden in ("check", "grade"):
        _libc("mount", "tmpfs", f"{root}{PACKAGE / hidden}", "tmpfs", _INSIDE, "size=4k,mode=755")
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY | _NO_SETUID, 0, 0, 0)
    _libc("syscall", _MOUNT_SETATTR, -100, root, _BELOW, attributes, ctypes.sizeof(attributes))
    _libc("mount", "tmpfs", f"{root}/work", "tmpfs", _INSIDE, "size=64m,mode=777")
    with contextlib.suppress(OSError):  # in some containers it is refused, and is then empty
        _libc("mount", "proc", f"{root}/proc", "proc", _INSIDE, None)
    os.chroot(root)
    os.chdir("/work")


def _shown() -> list[str]:
    """Python, its libraries, and the package."""
    wanted = [sys.base_prefix, sys.prefix, *site.getsitepackages(), str(PACKAGE), "/usr", "/lib", "/lib64", "/bin",
              "/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom"]  # fmt: skip
    wanted += [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    found: list[str] = []
    for path in sorted({os.path.abspath(p) for p in wanted if os.path.exists(p)}):
        if not any(path.startswith(p + os.sep) and not os.path.islink(p) for p in found):
            found.append(path)
    return found


def _show(path: str, root: str) -> None:
    target = root + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        Path(target).touch()
    _libc("mount", path, target, None, _BIND, None)


# --- limits ---


def confine(seconds: float, memory: int, user: int | None, alone: bool) -> None:
    """Limit this process for good, and give up all rights. alone: it is in namespaces of its own."""
    others = 0 if alone or user is not None else _tasks_of(os.getuid())
    limit(seconds, memory, RLIMIT_FSIZE=_FILE, RLIMIT_NOFILE=64, RLIMIT_NPROC=others + 4)
    if user is not None:
        os.setgroups([]), os.setgid(user), os.setuid(user)
    elif alone:
        head, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        _libc("capset", head, none)
    prctl(_NO_NEW_PRIVS, 1)
    dies_with_parent()  # a change of user has undone it


def limit(seconds: float, memory: int, **others: int) -> None:
    """Limit this process's time on a processor, its memory beyond what it has, and what is named by `others`."""
    import resource  # not on Windows, where only this module's names are read

    limits = {"RLIMIT_CPU": int(seconds) + 2, "RLIMIT_CORE": 0} | others
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limits["RLIMIT_AS"] = memory + pages * resource.getpagesize()
    for name, most in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _tasks_of(user: int) -> int:
    """Processes and threads of a user: without namespaces the limit counts them all."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            count += len(os.listdir(process / "task")) if process.stat().st_uid == user else 0
    return count


def descendants(of: int) -> set[int]:
    """All processes below one."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found, new = set(), children.get(of, [])
    while new:
        found.update(new)
        new = [p for q in new for p in children.get(q, []) if p not in found]
    return found


def _processes() -> list[tuple[int, int]]:
    """(process, its parent) of all that run."""
    if sys.platform != "linux":
        lines = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        return [tuple(map(int, line.split())) for line in lines.splitlines()]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            after = (process / "stat").read_bytes().rpartition(b")")[2]  # its name may be of any bytes
            found.append((int(process.name), int(after.split()[1])))
    return found
