#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_stress.py WORLD PRELOAD STRESS: our own program on raw verbs, a few seconds of it. By hand, for longer:

    build/weft run -- build/tests/e2e/stress --seconds 60
"""
import os
import sys

import e2e


def main():
    world = e2e.World(sys.argv[1], sys.argv[2])
    e2e.need("timeout")
    program = os.path.abspath(sys.argv[3])
    tap = e2e.Tap()

    def stress(name, *options, cards, **extra):
        result = world.run([program, *options], 0, 100, **extra)
        why = ""
        if result.rc:
            why = f"exit {result.rc}"
        elif len(result.stats) != cards:
            why = f"counters of {len(result.stats)} cards, expected {cards}"
        else:
            why = world.carried(result)
        tap.check(not why, name, why, result)
        print("# " + result.out.strip(), flush=True)

    stress("16 processes x 8 QPs, all to all", "--seconds", "5", cards=16)
    if world.wire == "udp":
        stress("the same with 1 % lost", "--seconds", "5", cards=16, WEFT_LOSS="1%")
    # 16 processes x 16 cards x 16 QPs answer the first QP of a 17th.
    stress("4,096 peers of one QP", "--fan", "--procs", "17", "--cards", "16", "--qps", "16", cards=272)
    tap.done()


if __name__ == "__main__":
    main()
