"""Draws the plots of a result, each as SVG and PNG.

Rules of this file
- One look for all: line through the medians, band from least to most (a bar where there is one point only).
- A contestant keeps its colour and marker within a plot, whatever the figure; figures differ by the dashes.
- Colours are Okabe and Ito's, which colour-blind people can tell apart; markers differ too, for print in black.
- Axes are logarithmic or start at zero, and the ticks of x are the values that were measured.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from bench.results import Plot, Series

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)))
SIZE_INCHES = (9.0, 4.8)
PNG_DPI = 130
TEXT_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "rookery"}  # text stays text, and the same plot the same bytes


def draw(plot: Plot, base: Path, origin: str) -> list[Path]:
    """Write a plot to `base` + .svg and .png. origin: where it comes from, in small print. Returns the two paths."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    contestants = list(dict.fromkeys(line.contestant for line in plot.series))
    figures = list(dict.fromkeys(line.figure for line in plot.series))
    for line in plot.series:
        _draw_line(axes, line, contestants.index(line.contestant), figures.index(line.figure))
    _scale(axes, plot)
    figure.suptitle(plot.title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.grid(axis="y", color="#D0D0D0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9, handlelength=3.5)
    figure.supxlabel(
        f"Median; band or bar from least to most. {origin}", fontsize=7, color="#606060", x=0.01, ha="left"
    )
    paths = [base.with_name(base.name + suffix) for suffix in (".svg", ".png")]
    with mpl.rc_context(TEXT_STYLE):
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=PNG_DPI)
    return paths


def _draw_line(axes: Axes, line: Series, contestant: int, figure: int) -> None:
    colour, marker = COLOURS[contestant % len(COLOURS)], MARKERS[contestant % len(MARKERS)]
    points = sorted(zip(line.x, line.y, strict=True), key=lambda point: point[0])
    x, y = [p[0] for p in points], [p[1] for p in points]
    medians, least, most = ([getattr(s, name) for s in y] for name in ("median", "least", "most"))
    label = f"{line.contestant}, {line.figure}" if line.figure else line.contestant
    axes.plot(
        x, medians, color=colour, marker=marker, markersize=6, linewidth=1.8, label=label,
        linestyle=DASHES[figure % len(DASHES)], markerfacecolor=colour if figure == 0 else "white",
    )  # fmt: skip
    if len(x) > 1:
        axes.fill_between(x, least, most, color=colour, alpha=0.15, linewidth=0)
    else:
        axes.vlines(x, least, most, color=colour, linewidth=1.2)


def _scale(axes: Axes, plot: Plot) -> None:
    """Set up both axes: ticks of x where something was measured, numbers that people can read."""
    measured = sorted({x for line in plot.series for x in line.x})
    if plot.x_log:
        axes.set_xscale("log", base=2)
        axes.margins(x=0.06)
    axes.xaxis.set_major_locator(FixedLocator(measured))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
    if plot.y_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))


def shown(value: float) -> str:
    """Return a number with k, M or G in place of zeros: 1500 -> 1.5k."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{letter}"
    return f"{value:.4g}"
