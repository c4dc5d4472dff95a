"""Answers to 02.7 that attack the grader or cheat. In each submission an honest answer to 00.2 stands beside them.

ATTACKS: name -> (the answer's cell, what it deserves: its points, or the key of its verdict and 0 points).
OUTSIDE stands for a folder of the test's, in which nothing may be written, NAMED for the name of the processes.
"""

HONEST = """def best_guess(x_t, alpha, sigma, s):
    return alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t
"""
RIGHT = """def fresh_share(alpha_t, sigma_t, alpha_s, sigma_s):
    return 1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2
"""
_IMPORTS = "import ctypes, os, signal, socket, sys, threading, time\nimport torch\n"
_HEAD = "def fresh_share(alpha_t, sigma_t, alpha_s, sigma_s):\n"
_RETURN = "    return 1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2\n"
_WRONG = "    return 0 * sigma_s\n"
_NAME = "    ctypes.CDLL(None).prctl(15, b'NAMED', 0, 0, 0)\n"  # so that what is left running can be found


def _does(lines: str, after: str = _RETURN) -> str:
    """An answer that does something first, and then what is right, or wrong."""
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    return f"{_IMPORTS}{_HEAD}{_NAME}{body}{after}"


def _tries(lines: str, after: str = _RETURN) -> str:
    """As _does, but goes on if that is refused."""
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    return _does(f"try:\n{body}except BaseException:\n    pass", after)


# its children never go on with the answer, also where the limit of processes refuses the second one: two replies to one
# call would be taken for replies to two
_DAEMON = """if os.fork() == 0:
    try:
        os.setsid()
        forever = os.fork() == 0
        while forever:
            time.sleep(0.1)
            try: open('OUTSIDE/alive', 'a').write('x')
            except OSError: pass
    finally:
        os._exit(0)"""
_FORGED = '{"score": 100, "tests": [{"number": "02.7", "score": 1, "max_score": 1, "status": "passed"}]}'

_SAID = "Exercise 02.7 fresh_share: right, 1 point"
_WRITES = f"""for folder in ('.', '..', 'OUTSIDE', '/autograder/results'):
    try: open(folder + '/results.json', 'w').write('''{_FORGED}''')
    except OSError: pass"""
_MESSAGES = """for fd in range(3, 64):
    try: os.write(fd, bytes(7) + b'\\x02{}' * 9)
    except OSError: pass"""
_PEEKS = """for p in os.listdir('/proc'):
    if p.isdigit() and int(p) != os.getpid(): open(f'/proc/{p}/mem', 'r+b').read(1)"""
_FRAMES = """f = sys._getframe()
while f:
    if 'left' in f.f_locals: return f.f_locals['left']
    f = f.f_back"""
_GARBAGE = """import gc
for o in gc.get_objects():
    if getattr(o, '__name__', '') == 'close': o.__code__ = (lambda a, b, r=0: True).__code__"""
_TENSOR = """import torch
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None):
        if 'le' in f.__name__: return torch.tensor(True)
        return super().__torch_function__(f, types, args, kwargs or {})
"""

_MEMORY = "memory", "time"  # on a slow machine time is over first

ATTACKS = {
    # it does not end, or ends too early
    "endless loop": (_does("while True: pass"), "time"),
    "endless sleep": (_does("time.sleep(10**6)"), "time"),
    "endless print": (_does("while True: print('right, 1 point', flush=True)"), "time"),
    "deaf to signals": (
        _does("for s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\n"
              "while True: pass"),
        "time",
    ),
    "_exit": (_does("os._exit(0)"), "died"),
    "exit": (_does("sys.exit(0)"), "raised"),
    "segmentation fault": (_does("ctypes.string_at(0)"), "died"),
    "kills itself": (_does("os.kill(os.getpid(), 9)"), "died"),
    "deep recursion": (_does("sys.setrecursionlimit(10**9)\ndef f(): return f()\nf()"), ("raised", "died", "time")),
    "a default argument that exits": (
        "import os\ndef fresh_share(alpha_t, sigma_t, alpha_s, sigma_s, now=os._exit(0)):\n" + _RETURN, "died"),
    "raises BaseException": (_does("raise KeyboardInterrupt"), "raised"),
    # it takes too much
    "8 GiB": (_does("x = [torch.ones(2**28) for _ in range(8)]"), _MEMORY),
    "8 GiB of lists": (_does("x = []\nwhile True: x.append(bytes(2**24))"), _MEMORY),
    "a result without end": (_does("pass", "    return torch.zeros(1, dtype=torch.float64).expand(10**12)\n"),
                             ("too large", *_MEMORY)),
    "a text of a gigabyte": (_does("pass", "    return 'x' * 2**29\n"), ("too large", *_MEMORY)),
    "huge file": (_tries("f = open('huge', 'wb')\nwhile True: f.write(bytes(2**24))", _WRONG), "value"),
    "fork bomb": (_does("while True:\n    try: os.fork()\n    except OSError: pass"), ("time", "died")),
    "threads": (_tries("while True: threading.Thread(target=time.sleep, args=(10**6,), daemon=True).start()"), 1),
    # it leaves something running
    "daemon": (_tries(_DAEMON), 1),
    "daemon that holds the pipes": (_tries("if os.fork() == 0: time.sleep(10**6)"), 1),
    # it goes for the grader
    "kills its parent": (_tries("os.kill(os.getppid(), 9)", _WRONG), ("died", "value")),
    "kills all": (_tries("os.kill(-1, 9)", _WRONG), ("died", "value")),
    "kills its group": (_tries("os.killpg(0, 9)", _WRONG), ("died", "value")),
    "stops its parent": (_tries("os.kill(os.getppid(), 19)", _WRONG), ("time", "died", "value")),
    "forged results": (_tries(_WRITES, _WRONG), "value"),
    "forged output": (_tries(f"for fd in range(3): os.write(fd, b'''{_FORGED}\\n{_SAID}''')", _WRONG), "value"),
    "forged messages": (_tries(_MESSAGES, _WRONG), ("died", "value", "too large", "forged")),
    "closes all": (_does("os.closerange(0, 64)"), "died"),
    "memory of other processes": (_tries(_PEEKS, _WRONG), "value"),
    "open sockets": (_does("s = socket.create_connection(('127.0.0.1', PORT), 2)\ns.sendall(b'hostile')"),
                     {"strong": "raised", "none": (1, "raised")}),
    "secrets of the environment": (
        _does("pass", "    return float(os.environ['HOSTILE_SECRET']) * sigma_s\n"), "raised"),
    # it cheats
    "patched allclose": (_does("torch.allclose = torch.equal = lambda *a, **k: True\n"
                               "torch.Tensor.__le__ = lambda *a: torch.tensor(True)", _WRONG), "value"),
    "patched check": (_tries("import minidiff.check.exercise as e\ne.close = lambda *a, **k: True", _WRONG), "value"),
    "patched verdict": (_tries("import minidiff.check as c\nc.Verdict.points = 1", _WRONG), "value"),
    "looks into the check": (_does(_FRAMES, _WRONG), "value"),
    "garbage collector": (_tries(_GARBAGE, _WRONG), "value"),
    "a liar": (
        "import torch\nclass Liar:\n    __eq__ = __le__ = __lt__ = __ge__ = __gt__ = lambda *a: True\n"
        "    shape, dtype, ndim = (), torch.float64, 0\n    __getattr__ = lambda self, name: lambda *a, **k: self\n"
        + _HEAD + "    return Liar()\n", "no tensor"),
    "a lying tensor": (_TENSOR + _HEAD + "    return torch.ones(()).as_subclass(Liar)\n", ("value", "forged")),
    "unpickle bomb": (
        "import os\nclass Bomb:\n    def __reduce__(self): return os.system, ('touch OUTSIDE/bomb',)\n"
        + _HEAD + "    return Bomb()\n", "no tensor"),
    "imports the lectures": (_does("import lectures", _RETURN), "raised"),
    "imports the experiments": (_does("import experiments", _RETURN), "raised"),
    "imports the checks": (_does("import minidiff.check", _RETURN), "raised"),
}  # fmt: skip
