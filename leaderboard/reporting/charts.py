"""Charts as SVG text, for pages and files: pure functions; no scripts or style sheets needed.

Colours are attributes, because the strict content policy forbids inline styles, and classes (`stroke-1`, `fill-1`, …), with
which a page puts its own palette in their place; lines and text use the page's colour (`currentColor`), so that they are
legible on dark pages too. Every chart has a descriptive label, and none relies on colour alone. All text is escaped
here, so pages may mark the result as safe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

WIDTH = 480  # legible on a phone without scrolling
WIDE = 760  # of matrices, which need it
ROW, LOW_ROW, MANY = 20, 14, 30  # row height, and row height if there are more rows than MANY
LABELS = 130  # width of the name column
LONGEST = 17  # letters of a name in it
LEFT = 44  # margin for the numbers of the vertical axis
PLOT_HEIGHT = 240
FONT = 12
WIDEST_BAR = 30

# The site's colours on white; dash patterns repeat the distinction.
COLOURS = ("#0f7a6c", "#b4561a", "#3f6fb0", "#8a6d1f", "#9b4f96", "#5c6b66")
MAP = (1520, 662)  # the sheet of a map's shapes
DASHES = ("", "6 3", "2 2", "8 3 2 3", "12 4", "1 3")

Point = tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """A value with its interval; `marked` ones are drawn filled, others hollow."""

    label: str
    value: float
    low: float
    high: float
    marked: bool = True


@dataclass(frozen=True)
class Scale:
    """A linear map from values (low to high) to positions (start to end)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round tick values (steps of 1, 2 or 5 times a power of ten) from low to high."""
    raw = (high - low) / max(about, 1)
    if not raw > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def day_ticks(first: datetime, last: datetime, about: int = 7) -> list[datetime]:
    """Midnights (UTC) from first to last, in steps of days, weeks or months."""
    start = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = max((last - start).days, 1)
    step = next((s for s in (1, 2, 7, 14, 28, 91, 182, 364) if s * about >= days), 728)
    every = (start + timedelta(days=step * k) for k in range(days // step + 1))
    return [day for day in every if first <= day <= last] or [first]


def line_chart(
    title: str, series: Mapping[str, Sequence[tuple[datetime, float]]], unit: str, steps: bool = False
) -> str:
    """Values over time, one line per name, labelled at its end. `steps`: a value holds until the next one."""
    points = [point for line in series.values() for point in line]
    if not points:
        return _empty(title)
    first, last = (pick(at for at, _ in points) for pick in (min, max))
    bottom, top = _around([value for _, value in points])
    named = len(series) > 1  # the title says what a single line is
    x = Scale(first.timestamp(), last.timestamp(), LEFT, WIDTH - (LABELS if named else 12))
    y = Scale(bottom, top, PLOT_HEIGHT - 30, 26)
    parts = _horizontal_grid(y, x.start, x.end)
    for day in day_ticks(first, last):
        at = x(day.timestamp())
        parts.append(_line(at, y.start, at, y.start + 4))
        anchor = "end" if at > WIDTH - 24 else "middle"
        parts.append(_text(f"{day.day} {day:%b}", at, y.start + 18, anchor=anchor))
    drawn = [(k, name, line) for k, (name, line) in enumerate(series.items()) if line]
    heights = _apart([y(line[-1][1]) for _, _, line in drawn])
    for (k, name, line), height in zip(drawn, heights, strict=True):
        places = [(x(at.timestamp()), y(value)) for at, value in line]
        if steps:
            places = [*_stairs(places), (x.end, places[-1][1])]
        parts.append(_polyline(places, **_stroke(k), stroke_dasharray=DASHES[k % len(DASHES)]))
        if named:
            colour = _fill(k)
            parts.append(
                _line(places[-1][0] + 2, places[-1][1], x.end + 10, height, stroke_width=0.8, **_stroke(k))
            )
            parts.append(
                _text(
                    name,
                    x.end + 13,
                    height + 4,
                    longest=LONGEST - 2,
                    fill=colour["fill"],
                    class_=colour["class_"],
                )
            )
    parts.append(_text(unit, 4, 12))
    return _svg(title, PLOT_HEIGHT, parts)


def bar_chart(title: str, bars: Sequence[tuple[str, float]], unit: str) -> str:
    """One vertical bar per label, in the given order; labels that would overlap are left out."""
    if not bars:
        return _empty(title)
    y = Scale(0, max(*(value for _, value in bars), 1), PLOT_HEIGHT - 30, 26)
    left, right = LEFT, WIDTH - 10
    pitch = min((right - left) / len(bars), WIDEST_BAR / 0.8)
    every = max(1, math.ceil(60 / pitch))
    parts = _horizontal_grid(y, left, right)
    for k, (label, value) in enumerate(bars):
        at = left + k * pitch
        parts.append(
            _tag(
                "rect",
                _tag("title", escape(f"{label}: {value:g}")),
                x=at + 0.1 * pitch,
                y=y(value),
                width=0.8 * pitch,
                height=y.start - y(value),
                **_fill(0),
            )
        )
        if k % every == 0:
            parts.append(_text(label, at + pitch / 2, y.start + 18, anchor="middle", longest=10))
    parts.append(_text(unit, 4, 12))
    return _svg(title, PLOT_HEIGHT, parts)


def dot_and_whisker(title: str, rows: Sequence[Interval], unit: str, reference: float | None = None) -> str:
    """One row per interval, with the value as a dot; `reference` is a dashed line, such as no change."""
    if not rows:
        return _empty(title)
    ends = [end for row in rows for end in (row.low, row.high)] + ([] if reference is None else [reference])
    x = Scale(*_around(ends), LABELS, WIDTH - 15)
    pitch = _pitch(len(rows))
    height = 44 + pitch * len(rows)
    parts = _vertical_grid(x, 10, height - 34)
    if reference is not None:
        parts.append(_line(x(reference), 10, x(reference), height - 34, stroke_dasharray="4 3"))
    for k, row in enumerate(rows):
        middle = 20 + pitch * k
        said = f"{row.label}: {row.value:.2f} ({row.low:.2f} to {row.high:.2f})"
        parts.append(_text(row.label, LABELS - 8, middle + 4, anchor="end", longest=LONGEST))
        whisker = _line(x(row.low), middle, x(row.high), middle, **_stroke(0), stroke_width=2)
        inside = _fill(0, _stroke(0)) if row.marked else {**_stroke(0), "fill": "none"}
        dot = _tag("circle", cx=x(row.value), cy=middle, r=4.5, stroke_width=2, **inside)
        parts.append(_tag("g", _tag("title", escape(said)) + whisker + dot))
    parts.append(_text(unit, x.end, height - 2, anchor="end"))
    return _svg(title, height, parts)


def blob_plot(
    title: str, teams: Sequence[str], frequency: Sequence[Sequence[float]], ranges: Sequence[tuple[int, int]]
) -> str:
    """How often each team (row) has each rank (column): areas of the blobs are proportional to
    the shares, and the largest fills its row; a line shows the rank range."""
    if not teams:
        return _empty(title)
    pitch, row = min(26.0, (WIDE - LABELS - 20) / len(teams)), _pitch(len(teams))
    x = Scale(1, len(teams), LABELS + pitch / 2, LABELS + pitch * (len(teams) - 0.5))
    height = 25 + row * len(teams)
    every = max(1, math.ceil(20 / pitch))
    largest = max(max(shares) for shares in frequency)
    parts = [
        _text(str(place), x(place), height - 8, anchor="middle") for place in range(1, len(teams) + 1, every)
    ]
    for k, (team, shares, (low, high)) in enumerate(zip(teams, frequency, ranges, strict=True)):
        middle = 15 + row * k
        parts.append(_text(team, LABELS - 8, middle + 4, anchor="end", longest=LONGEST))
        parts.append(
            _line(
                x(low) - pitch / 3, middle, x(high) + pitch / 3, middle, stroke_opacity=0.6, stroke_width=1.5
            )
        )
        parts.extend(
            _tag(
                "circle",
                _tag("title", escape(f"{team}, rank {place}: {share:.1%}")),
                cx=x(place),
                cy=middle,
                r=math.sqrt(share / largest) * row * 0.45,
                fill_opacity=0.75,
                **_fill(0),
            )
            for place, share in enumerate(shares, 1)
            if share >= 0.005
        )
    parts.append(_text("rank", LABELS - 8, height - 8, anchor="end"))
    return _svg(title, height, parts, WIDE)


def heat_matrix(
    title: str,
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    darkest: float = 1.0,
    show: Callable[[float], str] = "{:.2f}".format,
) -> str:
    """A square matrix, from 0 (light) to `darkest` (dark); up to 20 rows, cells also show values. None is empty."""
    if not names:
        return _empty(title)
    size = min(34.0, (WIDE - LABELS - 10) / len(names))
    top = 26
    shades: dict[int, list[str]] = {}
    parts: list[str] = []
    for row, (name, cells) in enumerate(zip(names, values, strict=True)):
        middle = top + (row + 0.5) * size + 4
        if size >= 10 or row % 5 == 0:
            parts.append(_text(f"{row + 1}. {name}", LABELS - 8, middle, anchor="end", longest=LONGEST))
            parts.append(_text(str(row + 1), LABELS + (row + 0.5) * size, top - 8, anchor="middle"))
        for column, value in enumerate(cells):
            if value is None or math.isnan(value):
                continue
            shade = max(0, min(10, round(10 * value / darkest)))
            corner = f"M{_number(LABELS + column * size)} {_number(top + row * size)}"
            shades.setdefault(shade, []).append(f"{corner}h{_number(size)}v{_number(size)}h-{_number(size)}z")
            if len(names) <= 20:
                colour = "#fff" if shade > 5 else "currentColor"
                parts.append(
                    _text(
                        show(value),
                        LABELS + (column + 0.5) * size,
                        middle,
                        anchor="middle",
                        fill=colour,
                        size=10,
                    )
                )
    # One path per shade keeps the SVG of 85 x 85 cells small.
    fields = [
        _tag("path", d="".join(cells), fill_opacity=shade / 10, **_fill(0))
        for shade, cells in sorted(shades.items())
    ]
    return _svg(title, top + size * len(names) + 8, fields + parts, WIDE)


def _pitch(rows: int) -> int:
    return ROW if rows <= MANY else LOW_ROW


def world_map(
    title: str, shapes: Mapping[str, str], names: Mapping[str, str], counts: Mapping[str, int]
) -> str:
    """A map of the world: `shapes` are SVG paths by code, on a sheet of size MAP. The more, the stronger the
    colour, in the steps of `count_steps`; the tooltip has name and count."""
    empty = "".join(path for code, path in shapes.items() if not counts.get(code))
    parts = [_tag("path", d=empty, class_="land", fill="currentColor", fill_opacity=0.12)]
    steps = count_steps(min(counts.values(), default=1), max(counts.values(), default=1))
    for code, path in shapes.items():
        count = counts.get(code)
        if not count:
            continue
        step = next(k for k, most in enumerate(steps, 1) if count <= most)
        said = _tag("title", escape(f"{names.get(code, code)}: {count}"))
        shade = {"class_": f"step-{step}", "fill": COLOURS[0], "fill_opacity": step / len(steps)}
        parts.append(_tag("path", said, d=path, **shade))
    return _svg(title, MAP[1], parts, MAP[0])


def count_steps(least: int, largest: int, number: int = 5) -> list[int]:
    """The upper ends of at most `number` classes of counts from `least` to `largest`, each a like factor above the last."""
    ends = (round(least * (largest / least) ** (k / number)) for k in range(1, number + 1))
    return sorted(set(ends))


def _around(values: Sequence[float]) -> tuple[float, float]:
    """The range of values with some padding on both sides."""
    low, high = min(values), max(values)
    air = 0.05 * (high - low) or 1.0
    return low - air, high + air


def _stairs(points: Sequence[Point]) -> list[Point]:
    """The corners of a step line."""
    corners = [points[0]]
    for x, y in points[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return corners


def _apart(heights: Sequence[float]) -> list[float]:
    """The heights of labels that stand close to the wanted ones, a line apart, in the same order.

    Labels that would overlap form a block around the mean of what they want."""
    order = sorted(range(len(heights)), key=lambda k: heights[k])
    blocks: list[list[int]] = []
    for k in order:
        blocks.append([k])
        while len(blocks) > 1 and _start(blocks[-1], heights) < _start(blocks[-2], heights) + FONT * len(
            blocks[-2]
        ):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    placed = dict.fromkeys(order, 0.0)
    for block in blocks:
        placed |= {k: _start(block, heights) + FONT * place for place, k in enumerate(block)}
    return [placed[k] for k in range(len(heights))]


def _start(block: Sequence[int], heights: Sequence[float]) -> float:
    """Where a block of labels begins, so that its middle is the mean of the wanted heights; inside the plot."""
    mean = sum(heights[k] for k in block) / len(block)
    half = FONT * (len(block) - 1) / 2
    return max(20.0, min(mean - half, PLOT_HEIGHT - 30 - 2 * half))


def _horizontal_grid(y: Scale, left: float, right: float) -> list[str]:
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(_line(left, y(value), right, y(value), stroke_opacity=0.15))
        parts.append(_text(f"{value:g}", left - 6, y(value) + 4, anchor="end"))
    return parts


def _vertical_grid(x: Scale, top: float, bottom: float) -> list[str]:
    parts = []
    for value in ticks(x.low, x.high):
        parts.append(_line(x(value), top, x(value), bottom, stroke_opacity=0.15))
        parts.append(_text(f"{value:g}", x(value), bottom + 14, anchor="middle"))
    return parts


def _stroke(k: int) -> dict[str, str]:
    """The colour of the k-th series, for a line."""
    return {"class_": f"stroke-{k % len(COLOURS) + 1}", "stroke": COLOURS[k % len(COLOURS)]}


def _fill(k: int, also: Mapping[str, str] | None = None) -> dict[str, str]:
    """The same for a surface; `also` is the same element's stroke."""
    also = also or {}
    classes = f"{also.get('class_', '')} fill-{k % len(COLOURS) + 1}".strip()
    return {**also, "class_": classes, "fill": COLOURS[k % len(COLOURS)]}


def _svg(title: str, height: float, parts: Sequence[str], width: int = WIDTH) -> str:
    return _tag(
        "svg",
        _tag("title", escape(title)) + "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {math.ceil(height)}",
        class_="wide" if width > WIDTH else None,
        role="img",
        aria_label=title,
        font_family="sans-serif",
        font_size=FONT,
    )


def _empty(title: str) -> str:
    return _svg(title, 40, [_text("No data yet", WIDTH / 2, 24, anchor="middle")])


def _text(
    content: str,
    x: float,
    y: float,
    anchor: str = "start",
    fill: str = "currentColor",
    longest: int | None = None,
    size: int | None = None,
    class_: str | None = None,
) -> str:
    short = content if longest is None or len(content) <= longest else content[: longest - 1] + "…"
    inner = escape(short) + (_tag("title", escape(content)) if short != content else "")
    return _tag("text", inner, x=x, y=y, text_anchor=anchor, class_=class_, fill=fill, font_size=size)


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str = "currentColor", **more: object) -> str:
    return _tag("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, **more)


def _polyline(points: Sequence[Point], **more: object) -> str:
    places = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return _tag("polyline", points=places, fill="none", stroke_width=1.8, **more)


def _tag(name: str, content: str = "", /, **attributes: object) -> str:
    """An element; None and empty attributes are omitted, underscores in names become hyphens (`class_` is class)."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_number(value) if isinstance(value, float) else escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value != ""
    )
    return f"<{name}{said}>{content}</{name}>" if content else f"<{name}{said}/>"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
