def pytest_runtest_logreport(report):
    """Failures are told at once: a run may be cut."""
    if report.failed:
        print(f"\n--- {report.nodeid}\n{report.longreprtext[-3000:]}\n---", flush=True)
