"""Answers judged in processes of their own: right ones and wrong ones as in a notebook, hostile ones contained.

The limits are short for what never ends and generous for what must end, so that nothing depends on speed.
"""

import json
import os
import pkgutil
import shutil
import socket
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_check import CELLS, RIGHT, WRONG, seed_of

import minidiff
from minidiff import check
from minidiff.grade import isolate, nursery, wire
from minidiff.grade.sandbox import Limits, Workers, isolation
from minidiff.schedules import VP

if not hasattr(os, "fork"):
    pytest.skip("answers run in forked processes", allow_module_level=True)

ENOUGH, SHORT = 300.0, 1.5  # seconds
LECTURES = Path(__file__).parents[1] / "lectures"
EVIL = Path(f"/tmp/evil-{os.getpid()}")  # of this run alone: another user's file could not be removed
ROOT = os.geteuid() == 0
BY_NAME = {exercise.name: exercise for exercise in check.EXERCISES.values()}
BEST = isolation()
SHARE = "1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the sandbox has its temporary files."""
    found = tmp_path_factory.mktemp("sandbox")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(found))
        yield found


@pytest.fixture(scope="module")
def started(folder):
    """level -> Workers, each started once."""
    found: dict[str, Workers] = {}

    def of(wanted: str) -> Workers:
        if wanted not in found:
            found[wanted] = Workers(Limits(ENOUGH), isolation(wanted))
        return found[wanted]

    yield of
    for workers in found.values():
        workers.__exit__()


@pytest.fixture(params=["strong", "none"])
def workers(request, started):
    if request.param == "strong" and not BEST.alone:
        pytest.skip(str(BEST))
    return started(request.param)


@pytest.fixture
def best(started):
    """Workers with whatever isolation the machine has."""
    return started("strong" if BEST.alone else "none")


def judge(workers, id: str, source: str, seed: int = 0, seconds: float = ENOUGH):
    workers.limits = Limits(seconds, workers.limits.memory)
    exercise = check.EXERCISES.get(id) or BY_NAME[id]
    names = exercise.names[:1] + tuple(name for name in exercise.names[1:] if name in source)  # patchify may be alone
    return workers.judge(exercise, SimpleNamespace(source=source, names=names), seed)


# --- the same verdicts as in a notebook ---


def some(cases: list, step: int) -> list:
    """All of them, those marked slow that are not every so many-th."""
    return [pytest.param(*case, marks=[] if i % step == 0 else pytest.mark.slow, id=": ".join(case[:2]))
            for i, case in enumerate(cases)]  # fmt: skip


@pytest.mark.parametrize("id", some([(id,) for id in check.EXERCISES], 3))
def test_solutions_are_right(best, id):
    verdict = judge(best, id, CELLS[id].source, 3)
    assert verdict.ok and verdict.points == check.EXERCISES[id].points, verdict.text


@pytest.mark.parametrize("name, which, code", some(RIGHT, 20))
def test_other_right_answers_are_right(best, name, which, code):
    verdict = judge(best, name, code, seed_of(name, which))
    assert verdict.ok, verdict.text


@pytest.mark.parametrize("name, which, code, key", some(WRONG, 50))
def test_mutants_die_by_the_same_message(best, name, which, code, key):
    verdict = judge(best, name, code, seed_of(name, which))
    assert verdict.key == key and verdict.points == 0, verdict.text


@pytest.mark.parametrize("done", ["model.zero_grad()", "model.eval()", "[p.grad.zero_() for p in model.parameters()]"])
def test_what_an_answer_does_to_a_module_is_seen(best, done):
    """Its gradients and its mode too, and which of its layers are one."""
    right = next(code for name, which, code in RIGHT if (name, which) == ("update_ema", "mul and add"))
    spoilt = right.replace("    d = ", f"    {done}\n    d = ")
    assert spoilt != right
    assert judge(best, "update_ema", spoilt).key == "stops the model"
    by_names = next(code for name, which, code, _ in WRONG if which == "by the state's names")
    assert judge(best, "update_ema", by_names).key == "shared layer copied"


def test_what_an_answer_leaves_in_torch_is_seen(best):
    """Settings, and gradients in weights that only the check has; what a cell sets before the answer is not."""
    right = next(code for name, which, code in RIGHT if (name, which) == ("adain", "by var_mean"))
    spoilt = right.replace("):\n", "):\n    torch.set_default_dtype(torch.float64)\n", 1)
    assert judge(best, "adain", spoilt).key == "a setting left"
    assert judge(best, "adain", f"import torch\ntorch.set_default_dtype(torch.float64)\n{right}").ok
    for name, which in [("classifier_guided", "gradients left on"), ("classifier_guided", "all with gradients on"),
                        ("ism_loss", "gradients left in the weights")]:  # fmt: skip
        code, key = next((code, key) for *case, code, key in WRONG if case == [name, which])
        assert judge(best, name, code).key == key


def test_answers_may_use_what_they_are_given_and_the_whole_package(best):
    """Layers' weights, a net's parameters, a frozen set; every module that holds no check."""
    for name, which in [("read_words", "by what nn.Linear has"), ("text_to_image", "by the package"),
                        ("controls", "a set, a name")]:  # fmt: skip
        assert judge(best, name, next(code for *case, code in RIGHT if case == [name, which])).ok
    modules = [m.name for m in pkgutil.walk_packages(minidiff.__path__, "minidiff.")]
    usual = [m for m in modules if not m.startswith(("minidiff.check", "minidiff.grade")) and "__main__" not in m]
    assert len(usual) > 50
    alone = "assert not hasattr(minidiff, 'check')\n"
    source = "".join(f"import {module}\n" for module in usual) + alone + CELLS["00.1"].source
    assert judge(best, "00.1", source, 3).ok


GRADIENTS = [
    ("ism_loss", "jacrev", RIGHT), ("ssm_loss", "jvp", RIGHT), ("classifier_guided", "by functorch", RIGHT),
    ("update_ema", "foreach", RIGHT), ("update_ema", "buffers by reference", WRONG),
    ("update_ema", "under autograd", WRONG),
]  # fmt: skip


@pytest.mark.parametrize("name, which, table", GRADIENTS, ids=[case[1] for case in GRADIENTS])
def test_what_crosses_in_more_than_one_way(best, name, which, table):
    """Transforms of torch.func over the check's functions, and modules that an answer changes."""
    _, _, code, *key = next(case for case in table if case[:2] == (name, which))
    assert judge(best, name, code).key == (key[0] if key else "right")


def test_texts_are_those_of_a_notebook(best):
    code = "def ddim(model, x, times, cond=None):\n    y = 2 * x\n    return y.alpha\n"
    found = judge(best, "ddim", code)
    assert found.key == "raised" and "Your line 3, 'return y.alpha', ended in AttributeError" in found.text
    stub = "def ddim(model, x, times, cond=None):\n    raise NotImplementedError('exercise 02.4')\n"
    assert judge(best, "ddim", stub).text == "Exercise 02.4 ddim: not written yet (0 of 3 points)"
    other = judge(best, "ddim", "def ddim(model, x, times, cond=None):\n    return x.numpy()\n")
    assert "you return a ndarray" in other.text
    made_up = "def cfg(model, x_t, t, cond, scale):\n    return model(x_t, t, 0 * cond + 3)\n"
    assert judge(best, "cfg", made_up).key == "null made up"  # said by the model, in the check's process


def test_the_same_seed_gives_the_same_text(best):
    code = "import torch\ndef fresh_share(a, b, c, d):\n    return torch.rand((), dtype=a.dtype)\n"
    first, again, other = (judge(best, "fresh_share", code, seed).text for seed in (3, 3, 4))
    assert first == again != other


# --- hostile answers ---


@dataclass(frozen=True)
class Hostile:
    """What an answer to 02.7 does, in the body of its function, and the keys that its verdict may have."""

    body: str
    keys: tuple[str, ...]
    seconds: float = ENOUGH
    only: str = "strong none"  # the levels that contain it
    linux: bool = False  # contained by limits that other systems do not have
    other_user: bool = False  # without namespaces contained by another user only, that is, where root grades
    before: str = ""


# bytes in place of messages: lengths of head and body, then the head
SAY = "import json, os, struct\ndef say(head, size=0): os.write(3, struct.pack('>IQ', len(head), size) + head)\n"
REPLY = (
    "'do': 'reply', 'to': 2, 'state': [], 'call': 0, 'changed': False, 'asks': [], 'gradients': [], 'settings': None, "
    "'generators': [], 'needs': []"
)
# without another user the limit counts all tasks of the grader's, so one more elsewhere makes a fork fail
FORKED = ("no tensor", "raised")
HOSTILE = {
    "an endless loop": Hostile("while True: pass", ("time",), SHORT),
    "an endless loop that ignores signals": Hostile(
        "import signal\n[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGXCPU)]\n"
        "while True: pass", ("time",), SHORT),
    "sleep": Hostile("import time; time.sleep(10**6)", ("time",), SHORT),
    "exit": Hostile("import os; os._exit(0)", ("died",)),
    "sys.exit": Hostile("raise SystemExit('right')", ("raised",)),
    "8 GiB": Hostile("import torch; torch.ones(2**30, dtype=torch.float64)", ("memory",), linux=True),
    "8 GiB of bytes": Hostile("bytearray(2**33)", ("memory",), linux=True),
    "a fork bomb": Hostile("import os\nwhile True: os.fork()", ("raised", "died", "forged", "time"), SHORT),
    "a daemon": Hostile(
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(10**6)\n"
        "    os._exit(0)\nreturn None", FORKED),
    "a daemon whose name is no text": Hostile(
        "import ctypes, os, time\nctypes.CDLL(None).prctl(15, b'\\xff) \\xfe', 0, 0, 0)\n"
        "if os.fork() == 0: time.sleep(10**6)\nreturn None", FORKED),
    "a thread": Hostile(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\nreturn None", FORKED),
    "kill everything": Hostile("import os; os.kill(-1, 9)\nreturn None", ("no tensor", "raised"), other_user=True),
    "kill the parent": Hostile(
        "import os; os.kill(os.getppid(), 9)\nreturn None", ("no tensor", "raised"), other_user=True),
    "bytes that are no message": Hostile("import os; os.write(3, bytes(12)); os._exit(0)", ("forged",)),
    "a message of 10 GB": Hostile("say(b'', 10**10)", ("too large",), before=SAY),
    "half a message": Hostile("say(b'{', 100); os._exit(0)", ("died",), before=SAY),
    "a forged shape": Hostile(
        f"say(json.dumps({{{REPLY}, 'value': {{'tensor': 0}}, 'tensors': [['float64', [10**9]]]}}).encode())",
        ("forged",), before=SAY),
    "a negative shape": Hostile(
        f"say(json.dumps({{{REPLY}, 'value': {{'tensor': 0}}, 'tensors': [['float64', [-1, 0]]]}}).encode())",
        ("forged",), before=SAY),
    "a forged reply": Hostile(
        f"say(json.dumps({{{REPLY}, 'value': True, 'tensors': []}}).encode())", ("no tensor",), before=SAY),
    "a reply to an earlier call": Hostile(
        f"say(json.dumps({{{REPLY}, 'to': 1, 'value': True, 'tensors': []}}).encode())", ("forged",), before=SAY),
    "a message of lists in lists": Hostile("say(b'[' * 10**6)", ("forged",), before=SAY),
    "a forged verdict": Hostile(
        "import os, sys\nline = '{\"ok\": true, \"points\": 1, \"key\": \"right\", \"text\": \"\"}\\n'\n"
        "for n in range(64):\n    try: os.write(n, line.encode()) if n != 3 else 0\n    except OSError: pass\n"
        "print(line, flush=True); sys.__stdout__.write(line)\nreturn None", ("no tensor",)),
    "comparisons that say yes": Hostile(
        "import torch\ntorch.allclose = torch.equal = torch.isclose = lambda *a, **o: True\n"
        "torch.Tensor.__eq__ = torch.Tensor.__le__ = lambda *a: True\nreturn 0 * alpha_t", ("value",)),
    "the evil of pickles": Hostile(
        f"class Evil:\n    def __reduce__(self): return open, ({str(EVIL)!r}, 'w')\n"
        "    def __float__(self): raise SystemExit\nreturn Evil()", ("no tensor",)),
    "a tensor of 80 GB": Hostile("import torch; return torch.zeros(1).expand(10**10)", ("too large",)),
    "a text of 100 MB": Hostile("return 'x' * 10**8", ("too large",)),
    "calls of itself": Hostile("return fresh_share(alpha_t, sigma_t, alpha_s, sigma_s)", ("raised", "died")),
    "lists in lists": Hostile(
        "found = []\nfor i in range(10**5): found = [found]\nreturn found", ("raised", "died")),
    "endless print": Hostile("while True: print('x' * 10**6, flush=True)", ("time",), SHORT),
    "a file of 50 MB": Hostile("open('file', 'wb').write(bytes(50 * 2**20))", ("raised", "died")),
    "import lectures": Hostile("import lectures", ("raised",)),
    "import the checks": Hostile("import minidiff.check", ("raised",)),
    "import a check": Hostile("from minidiff.check import lecture02", ("raised",)),
    "import experiments": Hostile(
        f"import sys; sys.path.append({str(LECTURES)!r})\nimport experiments", ("raised",)),
    "find a check in memory": Hostile(
        "import gc, sys\nnames = {type(o).__name__ for o in gc.get_objects()}\n"
        f"if not names & {{'Exercise', 'Numbers', 'Judge', 'Quiz'}}: return None\nreturn {SHARE}", ("no tensor",)),
    "read the questions' answers": Hostile(
        "from pathlib import Path; import minidiff\n"
        "Path(minidiff.__file__).with_name('check').joinpath('quiz.json').read_text()", ("raised",), only="strong"),
    "read a lecture": Hostile(f"open({str(LECTURES / 'TEACHING.md')!r})", ("raised",), only="strong"),
    "read this test": Hostile(f"open({__file__!r})", ("raised",), only="strong"),
    "see other processes": Hostile(
        "import os\nif len([p for p in os.listdir('/proc') if p.isdigit()]) < 5: return None\n"
        f"return {SHARE}", ("no tensor",), only="strong"),
    "mount": Hostile(
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "if libc.mount(b'tmpfs', b'/work', b'tmpfs', 0, None) and libc.unshare(0x10000000): return None\n"
        f"return {SHARE}", ("no tensor",), only="strong"),
}  # fmt: skip
ALSO_WITHOUT = ("an endless loop", "exit", "8 GiB", "a fork bomb", "a daemon", "kill everything", "kill the parent")


def cases() -> list:
    """Each with namespaces, and some without; the others without are slow, for what stops them is the same."""
    found = []
    for name, hostile in HOSTILE.items():
        for kind in hostile.only.split():
            slow = kind == "none" and name not in ALSO_WITHOUT
            found.append(pytest.param(kind, name, marks=pytest.mark.slow if slow else [], id=f"{kind}: {name}"))
    return sorted(found, key=lambda case: case.values[0], reverse=True)


def only_the_nursery(workers) -> bool:
    return len(isolate.descendants(workers.keeper.pid)) == 1


@pytest.mark.parametrize("workers, name", cases(), indirect=["workers"])
def test_hostile_answers_get_nothing_and_leave_nothing(workers, name, folder):
    hostile = HOSTILE[name]
    if hostile.linux and sys.platform != "linux":
        pytest.skip("only on Linux the memory of an answer is limited")
    if hostile.other_user and not workers.isolated.alone and not ROOT:
        pytest.skip("one user's processes can end each other: " + str(workers.isolated))
    body = textwrap.indent(hostile.body, "    ")
    source = f"{hostile.before}def fresh_share(alpha_t, sigma_t, alpha_s, sigma_s):\n{body}\n"
    verdict = judge(workers, "02.7", source, seconds=hostile.seconds)
    assert verdict.key in hostile.keys and not verdict.ok and verdict.points == 0, verdict.text
    assert only_the_nursery(workers)
    assert not os.listdir(folder) and not EVIL.exists()
    right = judge(workers, "02.7", f"def fresh_share(alpha_t, sigma_t, alpha_s, sigma_s):\n    return {SHARE}\n")
    assert right.ok, right.text


def test_what_hostile_answers_reach_for_is_there():
    assert (LECTURES / "TEACHING.md").is_file() and (LECTURES / "experiments" / "__init__.py").is_file()


def answer(body: str) -> str:
    return f"def fresh_share(alpha_t, sigma_t, alpha_s, sigma_s):\n    {body}\n    return {SHARE}\n"


def test_no_network(best):
    if not best.isolated.alone:
        pytest.skip("only namespaces keep an answer from the network: " + str(best.isolated))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        found = judge(best, "02.7", answer(f"import socket; socket.create_connection(('127.0.0.1', {port}))"))
    assert found.key == "raised" and "OSError" in found.text or "Connection" in found.text


def test_an_answer_may_import_what_is_imported_late(workers):
    """Also where its user may not read Python's own folder."""
    late = "import shlex, sqlite3, zoneinfo, multiprocessing.synchronize, xml.dom.minidom"
    found = judge(workers, "02.7", answer(f"{late}; 'host'.encode('idna')"))
    assert found.ok, found.text


@pytest.mark.parametrize("workers", ["strong", pytest.param("none", marks=pytest.mark.slow)], indirect=True)
def test_nothing_is_written_outside_the_folder(workers, tmp_path):
    if not workers.isolated.alone and not ROOT:
        pytest.skip("an answer may write where its user may: " + str(workers.isolated))
    found = judge(workers, "02.7", answer(f"open({str(tmp_path / 'file')!r}, 'w')"))
    assert found.key == "raised" and not os.listdir(tmp_path)
    for place in (isolate.PACKAGE / "samplers.py", new := Path(sys.prefix) / EVIL.name):
        assert judge(workers, "02.7", answer(f"open({str(place)!r}, 'a')")).key == "raised"
    assert not new.exists()
    assert judge(workers, "02.7", answer("open('file', 'w').write('x')")).ok  # in its own it may


OWN = {
    "ddim": "from minidiff.samplers import ddim as theirs, last\n"
    "def ddim(model, x, times, cond=None):\n    return last(theirs(model, x, times, cond))\n",
    "heun": "from minidiff.samplers import SAMPLERS, last\n"
    "def heun(model, x, times, cond=None):\n    return last(SAMPLERS['heun'](model, x, times, cond))\n",
    "cfg": "from minidiff.guidance import Guided\n"
    "def cfg(model, x_t, t, cond, scale):\n    return Guided(model, scale)(x_t, t, cond)\n",
    "precision_recall": "from minidiff.measure.metrics import precision_recall\n",
    "update_ema": "from minidiff.train import update_ema\n",
    "frechet": "from minidiff.measure.metrics import frechet_distance as frechet\n",
}


@pytest.mark.parametrize("name", OWN)
def test_the_packages_own_version_is_no_answer(best, name):
    found = judge(best, name, OWN[name])
    assert found.key == "own version" and "no answer" in found.text and not found.ok


def test_what_the_table_of_own_versions_names_is_there():
    for names in nursery.OWN.values():
        for name in names:
            assert callable(pkgutil.resolve_name(name)), name


def test_broken_programs(best):
    found = judge(best, "02.7", "def fresh_share(a, b, c, d):\n    return (\n")
    assert found.key == "syntax" and "SyntaxError" in found.text and "Your line" in found.text
    found = judge(best, "02.7", "import no_such_module\ndef fresh_share(*a): return 0\n")
    assert found.key == "raised" and "Your line 1, 'import no_such_module'," in found.text
    assert judge(best, "02.7", "other = 3\n").key == "raised"
    assert judge(best, "02.7", "import os; os._exit(3)\n").key == "died"
    assert judge(best, "02.7", "while True: pass\n", seconds=SHORT).key == "time"


def test_what_keeps_the_check_busy(best):
    """The check's own process is limited too: here it would compute 10^(10^9)."""
    found = judge(best, "quiz", "def quiz():\n    return {2: '1e999999999'}\n", seconds=SHORT)
    assert found.key == "time" and not found.points
    assert judge(best, "calls", CELLS["00.4"].source).ok


def test_an_answer_draws_the_same_each_time_and_does_not_know_the_seed(best):
    code = "import torch\ndef fresh_share(a, b, c, d):\n    raise KeyError(torch.initial_seed())\n"
    assert judge(best, "02.7", code, 5).text == judge(best, "02.7", code, 6).text


def test_when_the_keeper_is_killed_it_is_started_again(folder):
    with Workers(Limits(ENOUGH)) as workers:
        right = CELLS["02.7"].source
        assert judge(workers, "02.7", right).ok
        workers.keeper.kill()
        assert judge(workers, "02.7", right).key == "died"
        assert judge(workers, "02.7", right).ok


def test_a_keeper_whose_grader_has_gone_ends_without_a_word():
    """A grader that is killed while an answer is judged is not there to read the verdict."""
    task = {"id": "02.7", "source": CELLS["02.7"].source, "names": ["fresh_share"], "seed": 0}
    task |= {"seconds": ENOUGH, "memory": Limits().memory, "alone": BEST.alone}
    command = [sys.executable, "-W", "ignore", "-c", "from minidiff.grade.keeper import main; main()"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as keeper:
        assert keeper.stdout.readline() == "{}\n"
        keeper.stdout.close()
        keeper.stdin.write(json.dumps(task) + "\n")
        keeper.stdin.flush()
        assert keeper.stderr.read() == ""


def test_what_isolation_says():
    with pytest.raises(ValueError, match="unknown sandbox 'weak': choose from auto, strong, none"):
        isolation("weak")
    assert "Not stopped" in str(isolation()) and "as asked" in str(isolation("none"))


@pytest.mark.slow
@pytest.mark.skipif(not ROOT or shutil.which("unshare") is None, reason="makes a user by a namespace")
def test_as_another_user_than_root():
    """As a user without rights: the same, with a namespace of this user's."""
    code = """
        from types import SimpleNamespace
        from minidiff import check
        from minidiff.grade.sandbox import Limits, Workers, isolation
        def judged(body):
            source = f"def fresh_share(alpha_t, sigma_t, alpha_s, sigma_s):\\n    {body}\\n"
            return workers.judge(check.EXERCISES["02.7"], SimpleNamespace(source=source, names=("fresh_share",)), 0)
        isolated = isolation("strong")
        assert isolated.alone and not isolated.another
        with Workers(Limits(300.0), isolated) as workers:
            print(judged("return SHARE").key, judged("import os; os.kill(-1, 9); return 3").key,
                  judged("import ctypes; raise KeyError(ctypes.CDLL(None).unshare(0x10000000))").text)
    """.replace("SHARE", SHARE)
    command = ["unshare", "--user", "--map-user=1000", "--map-group=1000", sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True)
    right, killed, text = done.stdout.split(" ", 2)
    assert right == "right" and killed in ("no tensor", "raised") and "KeyError: -1" in text, done.stdout + done.stderr


ODD = [
    torch.tensor(3.5, dtype=torch.bfloat16), torch.zeros(1).expand(3, 1), torch.zeros(1, 1).expand(1, 4)[:, :1],
    torch.arange(6).view(2, 3).T, torch.empty(0, 3), torch.tensor([1 + 2j]).conj(), torch.tensor(True),
    torch.full((2,), torch.nan),
]  # fmt: skip


@pytest.mark.parametrize("t", ODD, ids=lambda t: f"{t.dtype}, {tuple(t.shape)}")
def test_tensors_cross_as_they_are(t):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, {}, [t], wire.LARGEST)
        (found,) = wire.receive(theirs, wire.LARGEST)[1]
    assert found.dtype == t.dtype and torch.equal(found.nan_to_num(), t.nan_to_num())


VALUES = [
    None, True, 3, 2**70, 0.1, float("inf"), "x", [1, (2, [3])], {1: "a", "b": (1.0,)}, {1, 2}, 1 + 2j, Fraction(3, 8),
    np.float32(0.5), np.arange(3), torch.Size([1, 2]), VP(0.2, 3.0),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_cross_as_they_are(value):
    out: list = []
    values = wire.Values()
    found = values.unpack(json.loads(json.dumps(values.pack(value, out))), out)
    assert type(found) is type(value) and np.all(found == value)
