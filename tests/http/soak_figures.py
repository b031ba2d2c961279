"""What a soak's figures say: slopes that a few strange minutes do not bend, and a picture of them."""

import itertools
import json
import math
import statistics

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 760, 150, 70, 20, 34, 62


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def slope(points):
    """Of (x, y): the median of the slopes of all pairs (Theil and Sen)."""
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2) if b[0] != a[0])


def warm(lines):
    """The lines behind the warm-up: a quarter of the run, at most half an hour."""
    begin = min(30.0, lines[-1]["minute"] / 4)
    return [line for line in lines if line["minute"] >= begin]


def memory_slope(lines):
    """MiB per hour that the resident memory at rest grows after the warm-up; None: there are too few lines."""
    points = [(line["minute"] / 60, line["rest"]["rss_mib"]) for line in warm(lines)]
    return slope(points) if len(points) >= 3 else None


def ticks(low, high):
    """Round numbers within a range, about five."""
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= (high - low) / 5)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def panel(at, title, minutes, series, from_zero):
    """SVG of one panel: `series` is {name: values}, one value per minute."""
    values = [v for row in series.values() for v in row]
    low, high = (0.0 if from_zero else min(values)), max(values)
    margin = 0.08 * (high - low) or 1.0
    low, high = low if from_zero else low - margin, high + margin
    end = max(minutes) or 1.0

    def x(minute):
        return LEFT + (WIDTH - LEFT - RIGHT) * minute / end

    def y(value):
        return at + HEIGHT * (1 - (value - low) / (high - low))
    out = [f'<text x="{LEFT}" y="{at - 10}" font-weight="bold">{title}</text>']
    for value in ticks(low, high):
        out.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for minute in ticks(0, end):
        out.append(f'<text x="{x(minute):.1f}" y="{at + HEIGHT + 16}" text-anchor="middle">{minute:g}</text>')
    out.append(f'<path d="M{LEFT} {at}V{at + HEIGHT}H{WIDTH - RIGHT}" fill="none" stroke="#555"/>')
    place = WIDTH - RIGHT
    for colour, (name, row) in reversed(list(zip(COLOURS, series.items()))):
        path = " ".join(f"{x(m):.1f},{y(v):.1f}" for m, v in zip(minutes, row))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
                   f'<text x="{place}" y="{at - 10}" text-anchor="end" fill="{colour}">{name}</text>')
        place -= 7 * len(name) + 18
    return out


def plot(lines, path):
    minutes = [line["minute"] for line in lines]

    def row(when, name):
        return [line[when][name] for line in lines]
    grown = memory_slope(lines)
    panels = [
        ("Resident memory, MiB" + ("" if grown is None else f" (at rest {grown:+.2f} MiB per hour after the warm-up)"),
         {"under load": row("busy", "rss_mib"), "at rest": row("rest", "rss_mib")}, False),
        ("Descriptors", {"under load": row("busy", "descriptors"), "at rest": row("rest", "descriptors"),
                         "living sockets at rest": row("rest", "living")}, True),
        ("Threads", {"under load": row("busy", "threads"), "at rest": row("rest", "threads")}, True),
        ("Per minute", {"images": [line["per_minute"]["images"] for line in lines],
                        "requests": [line["per_minute"]["requests"] for line in lines]}, True),
    ]
    height = TOP + len(panels) * (HEIGHT + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>']
    for i, (title, series, from_zero) in enumerate(panels):
        out += panel(TOP + i * (HEIGHT + GAP), title, minutes, series, from_zero)
    out.append(f'<text x="{WIDTH / 2:g}" y="{height - 14}" text-anchor="middle">minutes</text></svg>')
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")
