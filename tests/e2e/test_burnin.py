#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_burnin.py WORLD PRELOAD WEFT: the script of `weft manifest burnin`, as its pods run it, on two hosts with the cards
of a p4d.24xlarge. What Kubernetes would do for it is here a getent that knows both hosts."""
import os
import subprocess
import sys
import textwrap
import time

import e2e

# In the pod there is more time; and libfabric's programs are elsewhere.
CHANGES = [("/opt/amazon/efa/bin", "/usr/bin"), ("sleep 60", "sleep 1"), ("1 2 3 4 5 6 7 8", "1 2 3 4"),
           ("timeout 30", "timeout --foreground 10")]


def script_of(weft):
    text = subprocess.run([weft, "manifest", "burnin", "--instance", "p4d.24xlarge", "--nodes", "2"],
                          capture_output=True, text=True, check=True).stdout
    body = text[text.index("- |\n") + 4:text.index("          readinessProbe:")]
    body = textwrap.dedent(body)
    for old, new in CHANGES:
        assert old in body, old
        body = body.replace(old, new)
    return body


class Pods:
    def __init__(self, world, script):
        self.world = world
        self.bin = os.path.join(world.dir, "bin")
        os.mkdir(self.bin)
        getent = os.path.join(self.bin, "getent")
        with open(getent, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n" + "".join(f"echo '{host} STREAM'\n" for host in world.hosts))
        os.chmod(getent, 0o755)
        self.script = script

    def good(self, side):
        return os.path.join(self.world.dir, f"good-{side}")

    def start(self, side, seconds, instance="p4d.24xlarge"):
        path = os.path.join(self.world.dir, f"pod-{side}.sh")
        with open(path, "w", encoding="ascii") as file:
            file.write(self.script.replace("/tmp/good", self.good(side)))
        return self.world.start(side, ["sh", path], seconds, WEFT_INSTANCE=instance,
                                POD_IP=self.world.hosts[side],
                                PATH=self.bin + ":" + os.environ["PATH"])


def main():
    world = e2e.World(sys.argv[1], sys.argv[2])
    e2e.need("timeout", "fi_pingpong", "fi_info")
    tap = e2e.Tap()
    pods = Pods(world, script_of(os.path.abspath(sys.argv[3])))

    result = world.finish(pods.start(0, 20, "g5.48xlarge"))
    tap.check(result.rc == 1 and "EFA cards: 1, not 4" in result.err, "a card is missing", result)

    result = world.finish(pods.start(0, 15))
    tap.check("no answer over EFA from " + world.hosts[1] in result.err
              and "peers: 0 answer, 1 do not" in result.out and not os.path.exists(pods.good(0)),
              "nobody answers", result)

    both = [pods.start(side, 40) for side in (0, 1)]
    end = time.monotonic() + 35
    while time.monotonic() < end and not all(os.path.exists(pods.good(side)) for side in (0, 1)):
        time.sleep(0.1)
    ready = [os.path.exists(pods.good(side)) for side in (0, 1)]
    for process in both:
        process.terminate()
    results = [world.finish(process) for process in both]
    tap.check(all(ready), "two that answer each other are ready", *results)
    tap.done()


main()
