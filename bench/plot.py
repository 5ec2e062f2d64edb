"""Draws lines into an SVG file; nothing more than the benchmarks' pages need."""

import math
from dataclasses import dataclass
from pathlib import Path

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 360, 72, 170, 40, 48
_COLOURS = ("#2f6f4f", "#c2571a", "#4263a9", "#8a6d1f")


@dataclass
class Line:
    """A named line through points."""

    name: str
    points: list[tuple[float, float]]


def draw(path: Path, title: str, x_name: str, y_name: str, lines: list[Line], *, log_x: bool = False) -> None:
    """Write a plot of lines; the axes begin at 0, or with `log_x` the horizontal one at the smallest value."""
    xs = [x for line in lines for x, _ in line.points]
    top = max(y for line in lines for _, y in line.points)
    low, high = (math.log10(min(xs)), math.log10(max(xs))) if log_x else (0.0, max(xs))

    def place(x: float, y: float) -> tuple[float, float]:
        share = ((math.log10(x) if log_x else x) - low) / (high - low)
        return (
            _LEFT + share * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#333">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{title}</text>',
    ]
    for step in range(5):
        y = top * step / 4
        _, at = place(max(xs), y)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_number(y)}</text>')
        x = 10 ** (low + (high - low) * step / 4) if log_x else high * step / 4
        across, _ = place(x, 0)
        parts.append(f'<text x="{across:.1f}" y="{_HEIGHT - 28}" text-anchor="middle">{_number(x)}</text>')
    parts.append(f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{x_name}</text>')
    parts.append(f'<text transform="translate(16 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">{y_name}</text>')
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line.points)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{_WIDTH - _RIGHT + 12}" y="{_TOP + 14 + 20 * number}" fill="{colour}">{line.name}</text>'
        )
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def shares(name: str, values: list[float]) -> Line:
    """How large a share of values is at most so large, in percent."""
    ordered = sorted(values)
    return Line(name, [(value, 100 * (rank + 1) / len(ordered)) for rank, value in enumerate(ordered)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
