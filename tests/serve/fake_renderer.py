"""A renderer that speaks the protocol and renders nothing, so that it starts in no time.

A job takes ``seconds`` steps of its spec. What it does meanwhile, its prompt says: "kill" ends the process at step 2,
"wait" stays at step 1 until it is cancelled or parked, "once" kills it unless a file "killed" lies in its folder.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path

SPEED = {
    "row_seconds": 0.001,
    "token_seconds": 0.0001,
    "pair_seconds": 0.0,
    "drawn_seconds": 0.0,
    "delivered_seconds": 0.0,
    "token_bytes": 1000.0,
    "drawn_bytes": 100.0,
    "guided_share": 0.5,
}
COSTS = {"side": 16, "stride": 4, "token_width": 16, "first": 3, "later": 3, "context": 1, "fps": 8.0, "steps": 4}
COSTS |= {"guidance": 2.0, "trained_pixels": 4096, "speed": SPEED}
BUDGET = {"row_tokens": 4096, "num_bytes": 2**30, "seconds": 60.0, "num_pixels": 4096}


def tell(**report):
    os.write(1, json.dumps(report).encode() + b"\n")


def over(job_id, kind, **values):
    outcome = {"kind": kind, "code": "", "message": "", "render_size": None, "files": {}, "num_frames": 0, "fps": 0.0}
    tell(**{"is": "over", "id": job_id, "outcome": outcome | values})


def read(orders):
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(1)


def main():
    settings = json.loads(sys.argv[1])
    if settings["model"] == "missing":
        tell(**{"is": "broken", "message": "model 'missing': no such folder"})
        sys.exit(1)
    if settings["model"] == "dead":
        os.kill(os.getpid(), signal.SIGKILL)
    orders = queue.SimpleQueue()
    threading.Thread(target=read, args=(orders,), daemon=True).start()
    tell(**{"is": "ready", "costs": COSTS, "budget": BUDGET})
    jobs, steps, alone = {}, {}, set()
    while True:
        moving = [name for name in jobs if jobs[name]["prompt"] != "wait" or steps[name] < 1]
        with contextlib.suppress(queue.Empty):
            while True:
                order = orders.get(block=not moving)
                if order["do"] == "submit":
                    job = order["job"]
                    jobs[job["id"]] = job["spec"] | {
                        "folder": Path(job["folder"]),
                        "seconds": int(job["spec"]["seconds"]),
                    }
                    steps[job["id"]] = 0
                    alone |= {job["id"]} if order["alone"] else set()
                elif order["do"] == "cancel" and jobs.pop(order["id"], None):
                    over(order["id"], "cancelled")
                elif order["do"] == "park":
                    for name in jobs:
                        over(name, "parked")
                    sys.stdout.flush()
                    os._exit(0)
                moving = [name for name in jobs if jobs[name]["prompt"] != "wait" or steps[name] < 1]
                if moving:
                    break
        suspects = [name for name in moving if name in alone]
        row = suspects[:1] or moving
        on = {name: [0, steps[name], 0, jobs[name]["seconds"]] for name in row}
        tell(**{"is": "working", "on": on, "seconds": 0.001, "pace": 1.0})
        for name in row:
            mark = jobs[name]["folder"] / "killed"
            if steps[name] == 2 and jobs[name]["prompt"] == "once" and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if steps[name] == 2 and jobs[name]["prompt"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            steps[name] += 1
            if steps[name] >= jobs[name]["seconds"]:
                del jobs[name]
                over(name, "done", num_frames=steps[name], message="alone" if name in alone else "in company")


if __name__ == "__main__":
    main()
