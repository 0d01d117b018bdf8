"""An earlier version of the lifter, for `lifting.py` and `live.py`, which run this script with the code of another
checkout: OANet's temporal networks, which were replaced by the networks of `occlupose.methods.lifter`.

    git worktree add --detach BEFORE 822ca7c
    PYTHONPATH=BEFORE/src python benchmarks/earlier_lifter.py

Each line of its input names a mode, an .npz file to read and one to write, with tabs between them; it answers each with
a line. `lift` takes `rays` and `observed` (time, person, 22, ...) at `fps` and gives `xyz`. `live` takes also `xy`,
`score` and `state` in pixels of a `size`, and gives the milliseconds of every frame: of `LiveLifter.update` (`live`)
and of `StreamLifter.update` (`stream`), which computes the root trajectory as well, as `occlupose.stream` did.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float

Arrays = dict[str, Any]


class EarlierLifter:
    """The lifter of another checkout, in a process of its own.

    Arguments:
        checkout: folder with `src`, and maybe `.venv`.
        threads: of torch; by default as torch chooses.
    """

    def __init__(self, checkout: Path, threads: int | None = None) -> None:
        self.checkout = checkout.absolute()
        self._threads = threads
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        python = self.checkout / ".venv" / "bin" / "python"
        self._process = subprocess.Popen(
            [python if python.exists() else sys.executable, Path(__file__).absolute(), str(self._threads or 0)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.checkout,
            env=os.environ | {"PYTHONPATH": str(self.checkout / "src")},
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.communicate()

    def ask(self, mode: str, **request: Any) -> Arrays:
        """What it answers.

        Raises:
            RuntimeError: it ended; what it printed says why.
        """
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            question = Path(folder) / "question.npz"
            answer = Path(folder) / "answer.npz"
            np.savez(question, **request)
            with suppress(BrokenPipeError):
                print(mode, question, answer, sep="\t", file=self._process.stdin, flush=True)
            if not self._process.stdout.readline():
                raise RuntimeError(f"{self.checkout}: its lifter ended; what it printed says why")
            with np.load(answer) as arrays:
                return dict(arrays)

    def lift(
        self, rays: Float[np.ndarray, "person time 22 2"], observed: Bool[np.ndarray, "person time 22"], fps: float
    ) -> Float[np.ndarray, "person time 17 3"]:
        """Root-relative joints, m."""
        answer = self.ask("lift", rays=rays.swapaxes(0, 1), observed=observed.swapaxes(0, 1), fps=fps)
        return answer["xyz"].swapaxes(0, 1)


def lift(request: Arrays) -> Arrays:
    """Whole sequences."""
    from occlupose.methods.oanet.predict import lift_rays
    from occlupose.methods.oanet.weights import load

    return {"xyz": lift_rays(load(), request["rays"], request["observed"], float(request["fps"])).xyz}


def live(request: Arrays) -> Arrays:
    """Milliseconds of every frame."""
    from occlupose.methods.oanet.live import LiveLifter
    from occlupose.methods.oanet.streaming import StreamLifter

    from occlupose.cameras import Camera
    from occlupose.methods.oanet.lifting import TrackLifter
    from occlupose.methods.oanet.weights import load
    from occlupose.poses import FramePoses
    from occlupose.poses_builder import PosesBuilder
    from occlupose.skeletons import BODY22

    lifter = load()
    fps = float(request["fps"])
    camera = Camera.from_fov(*request["size"].tolist())
    ids = np.arange(request["rays"].shape[1])
    lifting = LiveLifter(lifter, fps)
    streaming = StreamLifter(TrackLifter(camera, None, lifter), PosesBuilder(BODY22, fps, camera))
    joints = zip(request["rays"], request["observed"], strict=True)
    people = zip(request["xy"], request["score"], request["state"], strict=True)
    poses = [FramePoses(number / fps, ids, *values) for number, values in enumerate(people)]
    return {
        "live": [timed(lambda frame=frame: lifting.update(ids, *frame)) for frame in joints],
        "stream": [timed(lambda frame=frame: streaming.update(frame)) for frame in poses],
    }


def timed(action: Callable[[], object]) -> float:
    """Duration in milliseconds."""
    start = perf_counter()
    action()
    return 1000 * (perf_counter() - start)


def main() -> None:
    """Answers line by line."""
    import occlupose

    if not Path(occlupose.__file__).is_relative_to(Path.cwd() / "src"):
        raise SystemExit(f"{occlupose.__file__}: is of another checkout; run in the folder whose src is the PYTHONPATH")
    threads = int(sys.argv[1]) if sys.argv[1:] else 0
    if threads:
        import torch

        torch.set_num_threads(threads)
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        mode, question, answer = line.rstrip("\n").split("\t")
        with np.load(question) as arrays:
            np.savez(answer, **{"lift": lift, "live": live}[mode](dict(arrays)))
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    main()
