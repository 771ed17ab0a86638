#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`weft perf pingpong` and the unmodified fi_pingpong, of which the one is measured by the other: the same sizes, the same
number of messages, the same provider, in turn. Over weft's cards (provider efa) by UDP and by shared memory, and over
libfabric's own tcp, whose packets weft has no part in. Each end has a processor to itself.

fi_pingpong has no warm-up: its first iteration of a size pays for what is new (a connection, pages, another protocol), 4 to
60 ms of it, which `weft perf` leaves to its -w. With too few iterations that is what one would compare; over tcp it stands
still at 64 bytes, however many there are.
"""
import sys

from bench import Bar, Bench, Case, Metric, Spec

SIZES = ("64", "256", "1k", "4k", "16k", "64k", "256k", "1m")
WORLDS = (("netns", Spec("lab", paths=1, mtu=1500, offload=True), "two namespaces"),
          ("udp", Spec("udp"), "two loopback addresses"),
          ("local", Spec("local"), "shared memory"))


def case(bench, provider, name, spec, title):
    iterations = 300 if bench.args.quick else 1000
    sizes = SIZES[1:] if provider == "tcp" else SIZES
    return Case(f"{provider}-{name}", f"provider {provider}, {title}, one way", spec,
                {"weft perf": lambda world: bench.perf(world, provider, iterations, sizes),
                 "fi_pingpong": lambda world: bench.pingpong(world, provider, iterations, sizes, pinned=True)},
                *[Metric(size, "us", Bar(None, "+-", 0.1, "fi_pingpong")) for size in sizes], table=True)


def main():
    bench = Bench("pingpong", __doc__)
    sys.exit(bench.run([case(bench, provider, *world) for world in WORLDS for provider in ("efa", "tcp")
                        if (provider, world[0]) != ("tcp", "local")]))


if __name__ == "__main__":
    main()
