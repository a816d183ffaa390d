# /// script
# requires-python = ">=3.11"
# dependencies = ["matplotlib==3.11.2"]
# ///
"""Draws the throughput against the ceiling, which standard input tells, into the SVG file named."""

import json
import statistics
import sys

import matplotlib as mpl
from matplotlib import pyplot as plt

mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "taskapi", "font.family": "sans-serif"}

ratios = json.load(sys.stdin)
names = list(ratios)
operations = list(ratios[names[0]])
figure, axes = plt.subplots(1, len(operations), figsize=(13, 4), sharey=True, layout="constrained")
figure.patch.set_facecolor("white")
for axis, operation in zip(axes, operations, strict=True):
    for position, name in enumerate(names):
        rounds = ratios[name].get(operation)
        if not rounds:
            continue
        median = statistics.median(rounds)
        beyond = [[median - min(rounds)], [max(rounds) - median]]
        color = "#c2410c" if name == "taskapi" else "#64748b"
        axis.barh(position, median, xerr=beyond, color=color, error_kw={"linewidth": 0.8})
        axis.text(max(rounds), position, f" {median:.2f}", va="center", fontsize=8)
    axis.axvline(1, color="black", linewidth=0.8, linestyle="--")
    axis.set_title(operation, fontsize=10)
    axis.margins(x=0.2)
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_yticks(range(len(names)), names)
axes[0].invert_yaxis()
figure.suptitle("Throughput against the ceiling (1 = Starlette + driver + PyJWT, no framework)")
figure.savefig(sys.argv[1], metadata={"Date": None})
