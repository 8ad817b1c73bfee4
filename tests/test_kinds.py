from dscost.reports.figures import NOTHING
from dscost.sweeping.kinds import by_kind, kinds_of
from dscost.sweeping.records import Drift, Row, Sweep, Where

XEON, ARM = (
    Where("Xeon", 1, versions={"torch": "2.6"}),
    Where("Cortex-A72", 3, versions={"torch": "2.6"}),
)


def test_runtimes_and_machines_of_one_device_are_one_kind() -> None:
    places = [
        XEON,
        XEON._replace(host="other"),
        XEON._replace(runtime="onnxruntime", versions={"onnxruntime": "1.20"}),
    ]
    assert list(kinds_of(places)) == ["Xeon"]


def test_two_versions_of_one_runtime_are_two_kinds() -> None:
    places = [XEON, XEON._replace(versions={"torch": "2.7"})]
    assert list(kinds_of(places)) == ["Xeon, torch 2.6", "Xeon, torch 2.7"]


def test_a_sweep_falls_apart_by_kind_and_rows_of_no_place_are_of_each() -> None:
    rows = [
        Row({"in_channels": 8}, "standard", NOTHING, where=XEON, latency_s=1.0),
        Row({"in_channels": 8}, "standard", NOTHING, where=ARM, latency_s=9.0),
        Row({"in_channels": 8}, "ghost", NOTHING, note="it has not that many channels"),
    ]
    drift = (Drift(XEON, 1.0, 0.9, 1.1), Drift(ARM, 2.0, 0.9, 1.1))
    found = by_kind(Sweep("1 convolution", 1, rows, drift=drift))
    assert list(found) == ["Xeon", "Cortex-A72"]
    assert [row.latency_s for row in found["Cortex-A72"].rows] == [9.0, None]
    assert found["Xeon"].drift == drift[:1]
    assert found["Xeon"].title == "1 convolution on Xeon"
