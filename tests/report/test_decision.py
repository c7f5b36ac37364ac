"""The headline and the warnings, by hand."""

from edgewise.report import from_json
from edgewise.report.data import Figures, RunReport
from edgewise.report.decision import headline, notes, tiles


def test_the_headline_compares_the_fastest_repeats(vgg_fit):
    line = headline(from_json(vgg_fit))
    assert line.figure == "0.61x"
    assert line.sentence == "2.21 ms → 1.35 ms on onnxruntime-cpu, 1 thread, batch 1, fp32 (fastest repeats)"
    assert (line.kind, line.verdict, line.met) == ("measured", "target 0.7x met", True)


def test_without_minima_it_compares_medians_and_without_those_the_prediction():
    medians = RunReport(baseline=Figures(latency_s=2e-3), result=Figures(latency_s=1e-3))
    assert headline(medians).sentence == "2.00 ms → 1.00 ms (medians)"
    predicted = RunReport(baseline=Figures(latency_s=2e-3), result=Figures(predicted_s=1e-3))
    assert headline(predicted).kind == "predicted"


def test_slower_is_called_slower():
    assert "slower" in headline(RunReport(baseline=Figures(min_s=1e-3), result=Figures(min_s=1.2e-3))).claim


def test_a_target_in_seconds_is_shown_where_it_was_not_typed():
    report = RunReport(baseline=Figures(min_s=2e-3), result=Figures(min_s=1e-3), target_s=1.5e-3, met=False)
    assert headline(report).verdict == "target 1.5 ms missed"


def test_no_latency_no_headline():
    assert headline(RunReport()) is None
    assert tiles(RunReport()) == ()


def test_tiles_hold_before_after_and_kind(vgg_fit):
    latency, params, macs, accuracy = tiles(from_json(vgg_fit))
    assert (latency.before, latency.after, latency.change) == ("2.26 ms", "1.38 ms", "0.61x")
    assert [(row.label, row.before, row.after, row.change) for row in latency.rows] == [
        ("fastest", "2.21 ms", "1.35 ms", "0.61x"),
        ("predicted", "2.18 ms", "1.33 ms", "−3.6 %"),
        ("corrected", "–", "1.37 ms", "−0.7 %"),
    ]
    assert (params.change, macs.change) == ("1.05x", "0.90x")
    assert accuracy.change == "−0.27 points"


def test_a_prediction_over_ten_per_cent_off_is_a_warning(vgg_fit):
    assert notes(from_json(vgg_fit)) == ()
    vgg_fit["result"]["predicted_s"] = 1.1e-3
    (note,) = notes(from_json(vgg_fit))
    assert "differ by −20.3 % (over 10 %)" in note


def test_accuracy_that_did_not_come_back_names_likely_causes(vgg_fit):
    vgg_fit["result"]["accuracy"] = 0.65
    assert "batch norm was not recalibrated" in notes(from_json(vgg_fit))[0]


def test_a_missed_target_is_said_once(vgg_fit):
    vgg_fit.update(met=False, warnings=["the target was missed by 3 %"] * 2)
    assert notes(from_json(vgg_fit)) == ("the target was missed by 3 %", "The target 0.7x was missed; this is the best network found.")


def test_a_ratio_that_the_result_holds_is_what_the_headline_says():
    """Medians and minima each say something else on a machine with busy neighbours."""
    before, after = Figures(latency_s=2e-3, min_s=1e-3), Figures(latency_s=1.5e-3, min_s=0.95e-3, ratio=0.7)
    line = headline(RunReport(baseline=before, result=after, target="0.7x", met=True))
    assert (line.figure, line.claim) == ("0.70x", "the time") and "(medians)" in line.sentence
