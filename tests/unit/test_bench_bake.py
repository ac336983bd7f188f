from tests.bench.bake_report import ADDED, BAKED, FIRST, RETRAIN, SERVED, STOCK, report
from tests.bench.startup_report import DOCKER, NATIVE, Run


def test_a_retrain_is_compared_with_build_docker_run_by_run() -> None:
    slow = Run({(RETRAIN, BAKED, DOCKER): 10, (RETRAIN, BAKED, STOCK): 30})
    quick = Run({(RETRAIN, BAKED, DOCKER): 2, (RETRAIN, BAKED, STOCK): 10, (RETRAIN, BAKED, NATIVE): 1})
    shown = "\n".join(report([slow, quick]))
    assert f"| {BAKED} | 6.00 (2.00 to 10.0) | 1.00 | 20.0 (10.0 to 30.0) | 4.00 (3.00 to 5.00) |" in shown
    assert "| retrain, times faster baked | at least 4 | 4.00 (3.00 to 5.00) | met |" in shown


def test_what_was_not_measured_is_left_out() -> None:
    shown = "\n".join(report([Run({(FIRST, SERVED, NATIVE): 9, (FIRST, ADDED, NATIVE): 800})]))
    assert f"| {SERVED} | - | 9.00 | - | - |" in shown
    assert "target" not in shown
