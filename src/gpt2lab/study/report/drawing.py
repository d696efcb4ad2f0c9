"""The one renderer of charts: what is to be drawn becomes SVG inside the page, and SVG, PNG and CSV beside it.

In the page, colours are CSS variables, so that a chart follows the reader's light or dark; each series has a name that
the page's script can hide, and its points stand beside it in the picture's own coordinates.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from gpt2lab.core import files

# Okabe and Ito's colours, which survive colour-blindness; grey is the base. Shapes and dashes say the same once more.
COLOURS = ("#6b6b6b", "#0072b2", "#d55e00", "#009e73", "#b5588f", "#a67c00", "#3c8fc4", "#7a5195")
MARKERS = ("s", "o", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
INK, GRID = "#1f1f1e", "#d9d9d8"
MOST_POINTS = 300
DOTS_PER_INCH = 72  # so that a point of the picture is a point of its SVG

Style = Literal["line", "faint", "dots", "marked", "level", "front"]


@dataclass(frozen=True)
class Series:
    name: str
    points: Sequence[tuple[float, float]]
    style: Style = "line"
    colour: int = 0
    band: Sequence[tuple[float, float]] = ()  # (low, high) at each point
    labels: Sequence[str] = ()  # what is said of each point, where its numbers do not say it
    of: str | None = None  # the name under which it is shown and hidden; its own unless given


@dataclass(frozen=True)
class Plot:
    name: str  # of its files
    title: str
    x: str
    y: str
    series: Sequence[Series]
    said: str  # the picture in words
    ticks: Sequence[str] = ()  # names on the horizontal axis, at 0, 1, 2, …
    log: bool = False
    matrix: Sequence[Sequence[int]] = field(default=())  # a table of counts instead of series
    note: str = ""


@dataclass(frozen=True)
class Chart:
    plot: Plot
    svg: str
    points: str  # JSON for the page's script
    legend: list[dict[str, Any]]

    @property
    def table(self) -> list[tuple[str, ...]]:
        return [(one.name, *_ends(one)) for one in self.plot.series if one.points]


def draw(plot: Plot, folder: Path) -> Chart:
    """The chart for the page; its files in `folder`."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_style(plot.name)):
        figure = Figure(figsize=_size(plot), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _matrix(axes, plot) if plot.matrix else _lines(axes, plot)
        figure.draw_without_rendering()
        page = _saved(figure, "svg", transparent=True)
        points = _points(axes, figure, plot)
        if not plot.matrix and len({one.of or one.name for one in plot.series}) > 1:
            figure.legend(loc="outside lower center", ncols=3, frameon=False)
        axes.set_title(plot.title, loc="left", color=INK)
        for ending in ("svg", "png"):
            files.write_bytes(folder / f"{plot.name}.{ending}", _saved(figure, ending))
    files.write_text(folder / f"{plot.name}.csv", _table(plot))
    return Chart(plot, _for_the_page(page.decode("utf-8"), plot.name), json.dumps(points), _legend(plot))


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Long curves as means of equal stretches, each at the stretch's last step."""
    if len(points) <= MOST_POINTS:
        return list(points)
    borders = [round(place * len(points) / MOST_POINTS) for place in range(MOST_POINTS + 1)]
    parts = [points[start:stop] for start, stop in pairwise(borders)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def _style(name: str) -> dict[str, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.grid": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.titlesize": 12,
        "legend.fontsize": 9,
    }


def _size(plot: Plot) -> tuple[float, float]:
    if not plot.matrix:
        return (6.0, 3.5)
    side = 2.4 + 0.62 * len(plot.matrix)
    return (side + 1.2, side)


def _saved(figure: Any, ending: str, *, transparent: bool = False) -> bytes:
    made = io.BytesIO()
    about = {"Date": None, "Creator": None} if ending == "svg" else {"Software": None}
    more = {"dpi": 160} if ending == "png" else {}
    figure.savefig(made, format=ending, metadata=about, transparent=transparent, **more)
    return made.getvalue()


def _lines(axes: Any, plot: Plot) -> None:
    told: set[str] = set()
    for number, one in enumerate(plot.series):
        name = one.of or one.name
        label = "" if name in told else _legible(name)
        told.add(name)
        for part, artist in enumerate(_drawn(axes, one, label or "_")):
            artist.set_gid(f"series-{_group(plot, one)}-{number}-{part}")
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    if plot.log:
        _log_scale(axes, sorted({x for one in plot.series for x, _ in one.points}))
    elif plot.x == "step":
        axes.xaxis.get_major_locator().set_params(integer=True)
    if plot.ticks:
        axes.set_xticks(range(len(plot.ticks)), [_legible(name, 18) for name in plot.ticks])
        axes.set_xlim(-0.6, len(plot.ticks) - 0.4)
        axes.grid(visible=False, axis="x")
        if sum(map(len, plot.ticks)) > 50:
            axes.tick_params(axis="x", labelrotation=25)
            for tick in axes.get_xticklabels():
                tick.set_horizontalalignment("right")


def _log_scale(axes: Any, values: Sequence[float]) -> None:
    """Ticks at the values themselves, or at some of many."""
    chosen = values[:: max(1, len(values) // 6)]
    axes.set_xscale("log")
    axes.set_xticks(chosen, [f"{value:g}" for value in chosen])
    axes.set_xticks([], minor=True)


def _drawn(axes: Any, one: Series, label: str) -> list[Any]:
    colour, marker = COLOURS[one.colour % len(COLOURS)], MARKERS[one.colour % len(MARKERS)]
    x, y = [point[0] for point in one.points], [point[1] for point in one.points]
    dash = DASHES[one.colour // len(COLOURS) % len(DASHES)]
    if one.style == "level":
        return [axes.axhline(y[0], color=colour, linestyle=":", linewidth=1.4, label=label)]
    if one.style == "front":
        return axes.plot(x, y, color=INK, linestyle=":", linewidth=1, label=label)
    if one.style == "dots":
        drawn = axes.plot(x, y, marker, color=colour, markersize=7, alpha=0.85, label=label, markeredgewidth=0)
    elif one.style == "marked":
        drawn = axes.plot(x, y, color=colour, marker=marker, markersize=5, linewidth=1.8, linestyle=dash, label=label)
    else:
        faint = {"linewidth": 1.0, "alpha": 0.5} if one.style == "faint" else {"linewidth": 1.8}
        drawn = axes.plot(x, y, color=colour, linestyle=dash, label=label, **faint)
    if one.band and one.style == "dots":
        low, high = [b - a for b, (a, _) in zip(y, one.band)], [b - a for a, (_, b) in zip(y, one.band)]
        bars = axes.errorbar(x, y, yerr=[low, high], fmt="none", ecolor=colour, capsize=4, linewidth=1.4)
        drawn += [*bars.lines[1], *bars.lines[2]]
    elif one.band:
        low, high = [low for low, _ in one.band], [high for _, high in one.band]
        drawn.append(axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0))
    return drawn


def _matrix(axes: Any, plot: Plot) -> None:
    """Shares of each row as shades, counts as text."""
    shares = [[count / max(1, sum(row)) for count in row] for row in plot.matrix]
    axes.grid(visible=False)
    for row, line in enumerate(plot.matrix):
        for column, count in enumerate(line):
            share = shares[row][column]
            from matplotlib.patches import Rectangle

            axes.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, color=COLOURS[1], alpha=0.85 * share, linewidth=0)
            )
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=INK, fontweight="bold")
    names = [_legible(name, 14) for name in plot.ticks]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)


def _points(axes: Any, figure: Any, plot: Plot) -> list[dict[str, Any]]:
    """Each series' points in the picture's coordinates, with what a reader is told of them."""
    height, found = figure.get_size_inches()[1] * DOTS_PER_INCH, []
    for one in plot.series:
        if one.style in ("level", "front") or not one.points:
            continue
        labels = list(one.labels) or [f"{plot.x} {_short(x)}: {_short(y)}" for x, y in one.points]
        placed = axes.transData.transform(list(one.points))
        shown = [
            [round(float(x), 1), round(height - float(y), 1), label] for (x, y), label in zip(placed.tolist(), labels)
        ]
        found.append({"name": one.name, "group": _group(plot, one), "points": shown})
    return found


def _for_the_page(svg: str, name: str) -> str:
    """Without its prologue; names made its own, colours the page's. Only tags are touched: text stays text."""
    svg = re.sub(r"<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)

    def own(tag: re.Match[str]) -> str:
        text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}--", tag[0])
        for number, colour in enumerate(COLOURS):
            text = text.replace(colour, f"var(--series-{number})")
        text = text.replace(INK, "currentColor").replace(GRID, "var(--grid)")
        return re.sub(r"font: ([\d.a-z ]*?)([\d.]+px) '[^']*'[^;\"]*", r"font-size: \2; font-family: inherit", text)

    svg = re.sub(r"<[^>]*>", own, svg)
    return re.sub(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>", r'<svg \1 aria-hidden="true">', svg, count=1)


def _group(plot: Plot, one: Series) -> int:
    names = list(dict.fromkeys(other.of or other.name for other in plot.series))
    return names.index(one.of or one.name)


def _legend(plot: Plot) -> list[dict[str, Any]]:
    first = {_group(plot, one): one for one in reversed(plot.series)}
    return [
        {"group": group, "name": first[group].of or first[group].name, "colour": first[group].colour % len(COLOURS)}
        for group in sorted(first)
    ]


def _table(plot: Plot) -> str:
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    if plot.matrix:
        writer.writerow([f"{plot.y} \\ {plot.x}", *plot.ticks])
        writer.writerows([name, *row] for name, row in zip(plot.ticks, plot.matrix))
        return made.getvalue()
    writer.writerow(["series", plot.x, plot.y, "low", "high"])
    for one in plot.series:
        bands = one.band or [("", "")] * len(one.points)
        writer.writerows([one.name, x, y, *band] for (x, y), band in zip(one.points, bands))
    return made.getvalue()


def _ends(one: Series) -> tuple[str, str, str, str]:
    """First, lowest, highest and last."""
    values = [y for _, y in one.points]
    return (_short(values[0]), _short(min(values)), _short(max(values)), _short(values[-1]))


def _legible(name: str, most: int = 40) -> str:
    """matplotlib hides labels that begin with an underscore; a very long name would leave no room for the picture."""
    name = " ".join(name.split()) or "?"
    name = f"\u200b{name}" if name.startswith("_") else name
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _short(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() and abs(number) < 1e9 else f"{number:.4g}"
