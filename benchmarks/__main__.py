"""``make bench``: every measurement, as a table of ratios with their bounds."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import images, measuring, rendering, serving
from tests.service.conftest import recorded_speech
from tools.environments import CACHE, ROOT, environment

LOCKS = ROOT / "{{cookiecutter.project_slug}}" / "requirements"
RENDER_BOUND = 1.5
WALL_BOUND = 1.05
METRICS_BOUND = 1.02
# A change of source must not touch the layers of packages.
REBUILD_BOUND = 0.1
# Two workers have two arenas of memory; only int8 weights are promised to stay lean.
MEMORY_BOUNDS = {"faster-whisper": 1.15, "openai-whisper": math.inf}


def main() -> int:
    """Print the table; 1 when a bound is passed."""
    rows = [("rendering: default project / one-file template", rendering.ratio(), RENDER_BOUND)]
    files = [LOCKS / "torch-cpu.txt", *sorted(LOCKS.glob("cpu-*.txt"))]
    python = environment(files)
    weights = CACHE / "weights" / "packages"
    tool = [sys.executable, str(ROOT / "tools" / "weights.py"), str(weights)]
    subprocess.run([*tool, "--python", str(python)], check=True)
    recording = max(recorded_speech(), key=lambda clip: clip.stat().st_size)
    with tempfile.TemporaryDirectory() as folder:
        for engine in serving.ENGINES:
            found = serving.compare(engine, python, weights, recording, Path(folder))
            rows += [
                (f"{engine.name}: service / bare, one client", found["wall"], WALL_BOUND),
                (
                    f"{engine.name}: service / bare, memory",
                    found["memory"],
                    MEMORY_BOUNDS[engine.name],
                ),
            ]
        cost = measuring.ratio(python, weights, Path(folder))
        rows.append(("metrics: with / without, on the cheapest route", cost, METRICS_BOUND))
    rows.append(("image: build after a change of source / whole", images.report(), REBUILD_BOUND))
    print("\n| ratio | measured | bound |\n|---|---|---|")
    for name, measured, bound in rows:
        print(f"| {name} | {measured:.2f} | {f'{bound:.2f}' if math.isfinite(bound) else '-'} |")
    return int(any(measured > bound for _, measured, bound in rows))


if __name__ == "__main__":
    sys.exit(main())
