import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from experiments import claims, lecture01, tools

from minidiff.data.toys import eight_gaussians, two_modes


@pytest.fixture
def smoke(monkeypatch):
    monkeypatch.setenv("MINIDIFF_MODE", "smoke")


def test_interval_is_students():
    mean, low, high = claims.interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (mean, low, high) == pytest.approx((3, 3 - 1.9633, 3 + 1.9633), rel=1e-4)  # 2.776 * 1.5811 / sqrt(5)


def test_verdict():
    predicted = (0.0, float("inf"))
    assert claims.verdict(0.1, 0.3, predicted) == "supported"
    assert claims.verdict(-0.3, -0.1, predicted) == "contradicted"
    assert claims.verdict(-0.1, 0.1, predicted) == "undecided"


SOURCES = "".join(
    path.read_text(encoding="utf-8") for path in (Path(claims.__file__).parents[1] / "source").glob("*.py")
)


@pytest.mark.parametrize("claim_id", [k for k in claims.registry() if f'"{k}"' not in SOURCES])
def test_claims_that_no_notebook_measures_run_in_smoke_mode(claim_id, smoke):
    """Those that are in a notebook run with it."""
    assert claim_id in str(claims.measure(claim_id))


def test_a_smoke_run_is_not_written(smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "LEDGER", tmp_path / "claims.json")
    claims.measure("1.5", write=True)
    assert not claims.LEDGER.exists()


@pytest.mark.parametrize("outcome", [(2.0, 0.0, 1.0, "", 3, ""), (0.5, 0.0, 1.0, "", 1, "")])
def test_an_outcome_that_cannot_be_is_refused(outcome, monkeypatch):
    """Its value outside its interval, or an interval over one seed."""
    claim = claims.Claim("7.7", *"abcd", (0.0, 1.0), lambda smoke: tools.Outcome(*outcome))
    monkeypatch.setattr(claims, "registry", lambda: {"7.7": claim})
    with pytest.raises(AssertionError, match="7.7"):
        claims.measure("7.7")


def test_what_is_set_for_lectures_does_not_reach_the_tests(tmp_path):
    here = f"{__file__}::{test_an_outcome_that_cannot_be_is_refused.__name__}"
    given = {"MINIDIFF_MODE": "none", "MINIDIFF_RECORDS": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", here]
    root = Path(__file__).parents[1]
    said = subprocess.run(command, env=os.environ | given, cwd=root, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout


def test_what_is_measured_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    monkeypatch.setattr(claims, "LEDGER", tmp_path / "claims.json")
    record = claims.measure("1.5", write=True)
    row = json.loads(claims.LEDGER.read_text(encoding="utf-8"))["1.5"]["cpu"]
    assert row["value"] == record.value and "detail" not in row
    assert "**supported**" in (tmp_path / "CLAIMS.md").read_text(encoding="utf-8")


def test_a_gpu_has_a_row_beside_that_of_the_cpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(claims, "LEDGER", tmp_path / "claims.json")
    monkeypatch.setattr(tools, "pick", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    old = claims.Record("1.5", *"abcd", (0, 1), 0.5, (0, 1), "supported", "", "", 3, "cpu (x)", "2020-01-01")
    claims.LEDGER.write_text(
        json.dumps({"1.5": {"cpu": {k: v for k, v in vars(old).items() if k != "detail"}}}), encoding="utf-8"
    )
    monkeypatch.setenv("MINIDIFF_MODE", "gpu")
    assert claims.kept("1.5").device == "cpu (x)"  # where there is none of a GPU
    assert claims.ledger() == {} and str(old).endswith("0.5 [0, 1]. Supported; by an earlier design of the experiment.")
    assert old.short() == "1.5: d: 0.5"
    claims.measure("1.5", write=True)
    on_gpu = tools.Outcome(0.5, 0.4, 0.6, "", 5, "", torch.device("cuda"))
    claim = claims.Claim("2.5", *"abcd", (0.0, 1.0), lambda smoke: on_gpu)
    monkeypatch.setattr(claims, "registry", lambda: {"2.5": claim})
    claims.measure("2.5", write=True)
    rows = claims.every_row()
    assert list(rows["1.5"]) == ["cpu", "gpu"] and rows["1.5"]["cpu"]["device"] == "cpu (x)"
    assert rows["1.5"]["gpu"]["device"].startswith("cpu (")  # it is one of those in the plane
    assert claims.kept("2.5").device == "Some GPU"
    assert list(claims.ledger()) == ["1.5", "2.5"] and claims.ledger()["2.5"]["device"] == "Some GPU"
    page = (tmp_path / "CLAIMS.md").read_text(encoding="utf-8")
    assert "| 1.5 |" in page and "| 1.5, gpu mode |" in page and "Device: Some GPU" in page
    claims.show("2.5", False)
    claims.show(None, False)
    assert capsys.readouterr().out.count("Some GPU") == 2
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    assert claims.ledger()["1.5"]["device"] == "cpu (x)" and "2.5" not in claims.ledger()


def test_gpu_mode_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setenv("MINIDIFF_MODE", "gpu")
    with pytest.raises(ValueError, match="MINIDIFF_MODE is gpu, but there is no GPU here"):
        claims.measure("1.5")


def test_the_ledger_is_complete_and_the_page_is_its_own(monkeypatch):
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    rows = claims.ledger()
    assert set(rows) == set(claims.registry())
    assert (claims.LEDGER.with_name("CLAIMS.md")).read_text(encoding="utf-8") == claims.markdown(claims.every_row())
    for claim_id, claim in claims.registry().items():
        row = rows[claim_id]
        assert row["statement"] == claim.statement and row["prediction"] == claim.prediction
        assert row.get("why_anew", "") == claim.why_anew and row["predicted"] == list(claim.predicted)


def test_what_the_lecture_says_is_one_thing_and_our_prediction_another():
    claim = claims.Claim("7.7", *"abcd", (2.0, 3.0), None, says=(1.0, float("inf")))
    for interval, verdict, met in (
        ((2.1, 2.9), "supported", "met"), ((1.1, 1.9), "supported", "missed"), ((1.5, 2.5), "supported", "open"),
        ((0.1, 0.9), "contradicted", "missed"), ((0.5, 1.5), "undecided", "missed"),
    ):  # fmt: skip
        row = claims.judged({"interval": interval, "predicted": (2.0, 3.0)}, claim)
        assert (row["verdict"], row["met"]) == (verdict, met)


def test_a_new_design_keeps_the_old_row_and_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    monkeypatch.setattr(claims, "LEDGER", tmp_path / "claims.json")
    for value, why in ((1.0, ""), (2.0, ""), (3.0, "it was unfair."), (4.0, "it was unfair."), (5.0, "again.")):
        claim = claims.Claim("7.7", *"abcd", (0.0, 9.0), lambda smoke, v=value: tools.Outcome(v, v, v, "", 0, ""),
                             why_anew=why)  # fmt: skip
        monkeypatch.setattr(claims, "registry", lambda claim=claim: {"7.7": claim})
        claims.measure("7.7", write=True)
    row = claims.every_row()["7.7"]["cpu"]
    assert [(old["value"], old["replaced"]) for old in row["history"]] == [(2.0, "it was unfair."), (4.0, "again.")]
    assert "Measured anew because it was unfair." in (tmp_path / "CLAIMS.md").read_text(encoding="utf-8")


def test_a_build_measures_once(tmp_path, monkeypatch):
    """And again when the experiments' code has changed, or in another mode."""
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    monkeypatch.setenv("MINIDIFF_RECORDS", str(tmp_path))
    monkeypatch.setattr(claims, "LEDGER", tmp_path / "claims.json")
    runs = []

    def experiment(smoke):
        runs.append(smoke)
        return tools.Outcome(1.0, 1.0, 1.0, "", 0, "", detail={"curve": torch.ones(3)})

    monkeypatch.setattr(claims, "registry", lambda: {"7.7": claims.Claim("7.7", *"abcd", (0.0, 1.0), experiment)})
    assert claims.measure("7.7").detail["curve"].tolist() == claims.measure("7.7").detail["curve"].tolist() == [1, 1, 1]
    assert len(runs) == 1 and "7.7" in claims.every_row()
    monkeypatch.setattr(claims, "_experiments", lambda: "others")
    claims.measure("7.7")
    monkeypatch.setenv("MINIDIFF_MODE", "smoke")
    claims.measure("7.7")
    assert runs == [False, False, True]


def test_cells_draw_the_same_whether_a_claim_was_measured_or_kept(smoke, monkeypatch):
    def experiment(smoke):
        return tools.Outcome(torch.rand(()).item(), 0.0, 1.0, "", 2, "")

    monkeypatch.setattr(claims, "registry", lambda: {"7.7": claims.Claim("7.7", *"abcd", (0.0, 1.0), experiment)})
    before = torch.get_rng_state()
    claims.measure("7.7")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_lecture_or_all_are_measured_and_what_changed_is_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    monkeypatch.setattr(claims, "LEDGER", tmp_path / "claims.json")
    value = 0.5
    registry = {
        k: claims.Claim(k, *"abcd", (0.0, 1.0), lambda smoke: tools.Outcome(value, value, value, "", 0, ""))
        for k in ("6.1", "7.1", "7.2")
    }
    monkeypatch.setattr(claims, "registry", lambda: registry)
    claims.show("all", write=True)
    assert capsys.readouterr().out.endswith("no verdict changed\n") and list(claims.every_row()) == list(registry)
    value = 2.0
    claims.show("7")
    assert capsys.readouterr().out.endswith("7.1: supported -> contradicted\n7.2: supported -> contradicted\n")
    with pytest.raises(AssertionError, match="7.1: the ledger says supported"):
        claims.summary()
    with pytest.raises(ValueError, match="unknown claim '8'"):
        claims.show("8")


def test_unknown_claims_and_modes(monkeypatch):
    with pytest.raises(ValueError, match="unknown claim '9.9'"):
        claims.measure("9.9")
    monkeypatch.setenv("MINIDIFF_MODE", "fast")
    with pytest.raises(ValueError, match="smoke, cpu or gpu"):
        claims.mode()


def test_radial_score_minimises_its_loss(generator):
    """The closed-form minimiser beats its neighbours, and a loss that knows the answer finds it."""
    model, x = tools.RadialScore(), eight_gaussians().to(torch.empty(0, dtype=torch.float64)).sample(500, generator)
    truth = torch.randn(model.size, generator=generator, dtype=torch.float64)
    target = model(truth)(x)
    found = model.minimiser(lambda fn: (fn(x) - target).square().mean())
    torch.testing.assert_close(model(found)(x), target, rtol=1e-4, atol=1e-4)


def test_blindness_vanishes_at_small_noise():
    low, middle = lecture01.weight_blindness(torch.tensor([0.03, 0.5]), n=20_001)
    assert 0 < low < 1e-3 * middle


def test_blindness_by_sampling_where_sampling_can(generator):
    p, q = two_modes(0.8).diffuse(1.0, 0.5), two_modes(0.5).diffuse(1.0, 0.5)
    x = p.sample(100_000, generator)
    sampled = 0.25 * (p.score(x) - q.score(x)).square().sum(1).mean()
    torch.testing.assert_close(lecture01.weight_blindness(torch.tensor([0.5]))[0].float(), sampled, rtol=0.02, atol=0)


# Forks of one process that has imported all are as good as new processes, and sooner there. Each runs a command line in
# place of this one's, what it prints goes to a file, a device, or (none) a pipe that nobody reads.
ASK = """
import json, os, runpy, sys
import experiments.claims
command, err, questions = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
read, unread = os.pipe()
os.close(read)
for out, arguments in questions:
    if (child := os.fork()) == 0:
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT) if out else unread, 1)
        os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.argv[1:] = arguments
        runpy.run_path(command, run_name="__main__")
        sys.exit()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, open(err).read()]))
"""
FULL = "/dev/full"  # of Linux, always full


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """What lectures/claims.py says: name -> its exit status and stderr; and the file of the whole list."""
    folder = tmp_path_factory.mktemp("asked")
    listed, rest = str(folder / "listed"), str(folder / "rest")
    questions = {
        "list": (listed, ["list"]), "unread": (None, ["list"]), "full": (FULL, ["list"]),
        "unknown": (rest, ["measure", "9.9"]), "misspelt": (rest, ["measure", "1.1", "--wirte"]),
    }  # fmt: skip
    if not Path(FULL).exists():
        del questions["full"]
    command = [sys.executable, "-c", ASK, str(claims.LEDGER.with_name("claims.py")), str(folder / "err")]
    path = os.pathsep.join([str(claims.LEDGER.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*command, json.dumps(list(questions.values()))],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(questions, map(json.loads, done.stdout.splitlines()), strict=True)), Path(listed)


def test_the_ledger_is_listed_for_whoever_reads_on(asked):
    answers, listed = asked
    assert answers["list"] == [0, ""] and listed.read_text(encoding="utf-8").count("\n") >= len(claims.every_row())
    assert answers["unread"] == [141, ""]


@pytest.mark.skipif(not Path(FULL).exists(), reason="a device that is always full")
def test_what_cannot_be_printed(asked):
    status, said = asked[0]["full"]
    assert status == 2 and said.count("\n") == 1 and said.startswith("minidiff: ")


def test_a_claim_that_is_not_there(asked):
    status, said = asked[0]["unknown"]
    assert status == 2 and "unknown claim '9.9'" in said and said.count("\n") == 1


def test_a_misspelt_option_names_the_command_that_was_typed(asked):
    status, said = asked[0]["misspelt"]
    assert status == 2 and "see python lectures/claims.py --help" in said, said
