"""python benchmarks/study_deaths.py [--kills 20]: a study is killed at random moments and its report compared.

With everything it has started, by SIGKILL, and run again in the same folder: killed again on the way or left alone, it
must end with the report of a study that nobody disturbed. The tests take three moments; here are twenty, once.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402
from benchmarks.common import save  # noqa: E402

from faults.studies import report, run, write_recipe  # noqa: E402

SEED = 1
LATEST = 0.5  # of the time that a whole study takes: what went before is not done again


def main() -> None:
    torch.set_num_threads(1)  # forked children cannot use a parent's threads
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=20)
    wanted = arguments.parse_args().kills
    moments, kills = random.Random(SEED), []
    with tempfile.TemporaryDirectory() as place:
        recipe, study = write_recipe(Path(place)), Path(place) / "study"
        begin = time.perf_counter()
        assert run(recipe, study)
        span, expected = time.perf_counter() - begin, report(study)
        studies = 0
        while len(kills) < wanted:
            shutil.rmtree(study)
            studies += 1
            done = False
            while not done and len(kills) < wanted:
                after = moments.uniform(0.02, LATEST) * span
                done = run(recipe, study, after)
                if not done:
                    kills.append(round(after, 2))
                    print(f"kill {len(kills)}: after {after:.1f} s", flush=True)
            assert run(recipe, study)
            assert report(study) == expected, "another report"
    save("deaths-study", {"kills": len(kills), "studies": studies, "same_report": studies, "seconds_alive": kills})


if __name__ == "__main__":
    main()
