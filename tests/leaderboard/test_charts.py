import itertools
import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from leaderboard.reporting import charts
from leaderboard.reporting.charts import Interval

START = datetime(2022, 4, 1, tzinfo=UTC)
HOSTILE = '<script>alert("1")</script> & "quoted"'


def parsed(svg):
    return ElementTree.fromstring(svg)


def all_of(root, name):
    return root.findall(f".//{{http://www.w3.org/2000/svg}}{name}")


def days(*values):
    return [(START + timedelta(days=k), value) for k, value in enumerate(values)]


def every_chart(title="A title", name="Kingdrone"):
    return [
        charts.line_chart(title, {name: days(60.0, 70.0, 65.0), "Seek": days(50.0, 55.0)}, "F1"),
        charts.bar_chart(title, [(name, 3), ("b", 0), ("c", 12)], "submissions"),
        charts.dot_and_whisker(
            title, [Interval(name, 74.54, 72.7, 76.4), Interval("b", 70, 68, 72, False)], "F1", 60
        ),
        charts.blob_plot(title, [name, "b"], [[0.9, 0.1], [0.1, 0.9]], [(1, 2), (1, 2)]),
        charts.heat_matrix(title, [name, "b"], [[1.0, 0.4], [0.4, None]]),
    ]


def test_every_chart_is_xml_with_a_label_and_no_style():
    for svg in every_chart():
        root = parsed(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == "A title"
        assert root[0].tag.endswith("title")
        assert root[0].text == "A title"
        assert "style=" not in svg
        assert "Kingdrone" in svg


def test_names_are_escaped():
    for svg in every_chart(title=HOSTILE, name=HOSTILE):
        assert "<script" not in svg
        assert parsed(svg).get("aria-label") == HOSTILE


def test_nothing_to_draw_says_so():
    for svg in (
        charts.line_chart("t", {}, "F1"),
        charts.line_chart("t", {"a": []}, "F1"),
        charts.bar_chart("t", [], ""),
        charts.dot_and_whisker("t", [], ""),
        charts.blob_plot("t", [], [], []),
        charts.heat_matrix("t", [], []),
    ):
        assert "No data yet" in svg
        parsed(svg)


def test_everything_stays_inside_the_frame():
    many = [f"team {k}" for k in range(85)]
    shares = [[1 / 85] * 85] * 85
    for svg in [
        *every_chart(),
        charts.blob_plot("t", many, shares, [(1, 85)] * 85),
        charts.heat_matrix("t", many, shares),
        charts.bar_chart("t", [(name, k) for k, name in enumerate(many)], ""),
        charts.line_chart("t", {"a": days(5.0)}, ""),
    ]:
        root = parsed(svg)
        _, _, width, height = map(float, root.get("viewBox").split())
        for circle in all_of(root, "circle"):
            assert 0 <= float(circle.get("cx")) <= width
            assert 0 <= float(circle.get("cy")) <= height
        for rect in all_of(root, "rect"):
            assert float(rect.get("x")) >= 0
            assert float(rect.get("x")) + float(rect.get("width")) <= width
            assert float(rect.get("y")) + float(rect.get("height")) <= height
        for line in all_of(root, "polyline"):
            for x, y in re.findall(r"([\d.-]+),([\d.-]+)", line.get("points")):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height
        for text in all_of(root, "text"):
            assert 0 <= float(text.get("x")) <= width
            assert 0 <= float(text.get("y")) <= height


def test_positions_follow_the_values():
    root = parsed(charts.bar_chart("t", [("a", 1), ("b", 2), ("c", 4)], ""))
    heights = [float(rect.get("height")) for rect in all_of(root, "rect")]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[2] == pytest.approx(4 * heights[0], abs=0.3)
    root = parsed(charts.blob_plot("t", ["a", "b"], [[0.8, 0.2], [0.2, 0.8]], [(1, 1), (2, 2)]))
    big, small = (float(circle.get("r")) for circle in all_of(root, "circle")[:2])
    assert big**2 == pytest.approx(4 * small**2, rel=0.05)
    root = parsed(charts.dot_and_whisker("t", [Interval("a", 5, 0, 10)], ""))
    whisker = next(line for line in all_of(root, "line") if line.get("stroke-width") == "2")
    assert float(all_of(root, "circle")[0].get("cx")) == pytest.approx(
        (float(whisker.get("x1")) + float(whisker.get("x2"))) / 2, abs=0.1
    )


def test_steps_hold_their_height():
    svg = charts.line_chart("t", {"a": days(1.0, 3.0)}, "", steps=True)
    points = re.findall(r"([\d.]+),([\d.]+)", all_of(parsed(svg), "polyline")[0].get("points"))
    assert points[0][1] == points[1][1]
    assert points[1][0] == points[2][0]


def test_labels_at_the_ends_of_lines_do_not_cover_each_other():
    svg = charts.line_chart("t", {f"team {k}": days(1.0, 2.0) for k in range(6)}, "")
    heights = sorted(
        float(t.get("y")) for t in all_of(parsed(svg), "text") if (t.text or "").startswith("team")
    )
    assert all(b - a > charts.FONT - 0.2 for a, b in itertools.pairwise(heights))


def test_labels_stay_near_their_lines_and_have_their_colours():
    svg = charts.line_chart("t", {"a": days(1.0, 70.0), "b": days(1.0, 70.0), "c": days(1.0, 2.0)}, "")
    ends = {name: [float(y) for y in re.findall(r",([\d.]+)", line.get("points"))][-1]
            for name, line in zip("abc", all_of(parsed(svg), "polyline"), strict=True)}  # fmt: skip
    labels = {t.text: t for t in all_of(parsed(svg), "text") if t.text in ends}
    for k, (name, label) in enumerate(labels.items(), 1):
        assert abs(float(label.get("y")) - 4 - ends[name]) <= charts.FONT / 2 + 0.1
        assert label.get("class") == f"fill-{k}"
    assert {line.get("class") for line in all_of(parsed(svg), "polyline")} == {
        "stroke-1",
        "stroke-2",
        "stroke-3",
    }


def test_a_single_line_takes_the_whole_width_and_needs_no_label():
    root = parsed(charts.line_chart("t", {"a": days(1.0, 2.0)}, ""))
    assert not [text for text in all_of(root, "text") if text.text == "a"]
    xs = [float(x) for x in re.findall(r"([\d.]+),", all_of(root, "polyline")[0].get("points"))]
    assert max(xs) > charts.WIDTH - 20


def test_few_bars_are_not_a_slab():
    root = parsed(charts.bar_chart("t", [("a", 1)], ""))
    assert float(all_of(root, "rect")[0].get("width")) <= charts.WIDEST_BAR


def test_the_more_the_stronger_on_the_map():
    shapes = {"DE": "M0 0h9v9z", "FR": "M9 0h9v9z", "IT": "M0 9h9v9z", "~": "M9 9h9v9z"}
    root = parsed(charts.world_map("t", shapes, {"DE": "Germany"}, {"DE": 134, "FR": 5}))
    found = {path.get("d"): path for path in all_of(root, "path")}
    assert found[shapes["DE"]].get("class") == "step-5"
    assert found[shapes["DE"]][0].text == "Germany: 134"
    assert found[shapes["FR"]].get("class") == "step-1"
    assert found[shapes["IT"] + shapes["~"]].get("class") == "land"


@pytest.mark.parametrize(
    ("least", "largest", "expected"),
    [(5, 134, [10, 19, 36, 69, 134]), (5, 5, [5]), (1, 3, [1, 2, 3]), (5, 7, [5, 6, 7])],
)
def test_classes_of_counts_end_with_the_largest(least, largest, expected):
    assert charts.count_steps(least, largest) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 60, [0, 10, 20, 30, 40, 50, 60]),
        (71.3, 74.6, [72, 73, 74]),
        (0, 0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (-3, 3, [-3, -2, -1, 0, 1, 2, 3]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_day_ticks_are_midnights():
    got = charts.day_ticks(START + timedelta(hours=5), START + timedelta(days=74))
    assert all((t.hour, t.minute) == (0, 0) for t in got)
    assert 4 <= len(got) <= 8
    assert charts.day_ticks(START, START) == [START]


def test_a_large_matrix_stays_small():
    names = [f"team {k}" for k in range(85)]
    assert len(charts.heat_matrix("t", names, [[0.5] * 85] * 85)) < 250_000
