#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Messages of 64 bytes in a second, one core sending: between two network namespaces (needs root), between two
addresses of this machine, and through shared memory; many posted with one call, and one with each call.
"""
import sys

from bench import Bar, Bench, Case, Metric, Spec

WORLDS = (
    ("netns", Spec("lab", paths=1, mtu=1500, offload=True), "UDP, two namespaces", 1),
    ("udp", Spec("udp"), "UDP, two loopback addresses", 1),
    ("local", Spec("local"), "same host", 5),
)


def rate(bench, name, spec, title, least):
    def run(*options):
        def weft(world):
            result = bench.verbs(world, "rate", "--seconds", bench.seconds, *options)
            return {"rate": result["per_second"] / 1e6}
        return weft

    return Case(name, f"SEND 64 B, {title}", spec,
                {"weft, 32 at once": run(), "weft, one by one": run("--batch", 1),
                 "weft, ibv_post_send": run("--batch", 1, "--old")},
                Metric("rate", "million/s", Bar(8, ">=", least)))


def main():
    bench = Bench("rate", __doc__)
    sys.exit(bench.run([rate(bench, *world) for world in WORLDS]))


if __name__ == "__main__":
    main()
