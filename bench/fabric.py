#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The same programs of libfabric over weft's cards (provider efa) and over its own providers tcp and udp;ofi_rxd: the
unmodified fi_pingpong at every size, a stream of tagged messages, and how many small ones in a second. Between two
network namespaces (needs root), and between two addresses of this machine by UDP. With --libfabric, a version that has
it: the fabric efa-direct as well.
"""
import sys

from bench import PINGPONG_SIZES, Bar, Bench, Case, Metric, Spec

WORLDS = (("netns", Spec("lab", paths=1, mtu=1500, offload=True), "two namespaces"),
          ("udp", Spec("udp"), "two loopback addresses"))


def pingpong(bench, name, spec, title):
    def run(provider):
        # A size takes a thousandth of a second only, and tcp stands still for some at its start: none too few.
        times = 50 if provider == "udp;ofi_rxd" else 300
        return lambda world: bench.pingpong(world, provider, times)

    return Case(f"pingpong-{name}", f"fi_pingpong, tagged, one way, {title}", spec,
                {"weft": run("efa"), "tcp": run("tcp"), "udp;ofi_rxd": run("udp;ofi_rxd")},
                *[Metric(size, "us", Bar(3, "<=", 0.95 if size == "64" else 1.0, "tcp")) for size in PINGPONG_SIZES],
                table=True)


def stream(bench, name, spec, title, size, metric, scale, bar):
    def run(provider):
        def measure(world):
            result = bench.fabric(world, provider, "bw", "-s", size, "--seconds", bench.seconds)
            return {metric[0]: result[metric[0]] / scale}
        return measure

    kind = "rate" if size == 64 else "stream"
    return Case(f"{kind}-{name}", f"tagged messages of {size} B, window 64, {title}", spec,
                {"weft": run("efa"), "tcp": run("tcp"), "udp;ofi_rxd": run("udp;ofi_rxd")},
                Metric(*metric, Bar(3, ">=", bar, "tcp")))


def direct(bench, name, spec, title):
    def run(*options):
        return lambda world: bench.fabric(world, *options, "-s", 64, "--untagged", "--iterations",
                                          5000 if bench.args.quick else 20000)

    return Case(f"direct-{name}", f"efa-direct, 64 B ping-pong, one way, {title}", spec,
                {"weft": run("efa", "lat", "--fabric", "efa-direct"), "tcp": run("tcp", "lat")},
                Metric("p50_ns", "ns", Bar(3, "<=", 0.8, "tcp")), Metric("p99_ns", "ns"))


def main():
    bench = Bench("fabric", __doc__)
    cases = []
    for world in WORLDS:
        cases += [pingpong(bench, *world), stream(bench, *world, 64, ("per_second", "million/s"), 1e6, 3),
                  stream(bench, *world, 1 << 20, ("gbytes", "GB/s"), 1, 1.8)]
        if bench.args.libfabric:
            cases.append(direct(bench, *world))
    sys.exit(bench.run(cases))


if __name__ == "__main__":
    main()
