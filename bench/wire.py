#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How much of what UDP can do weft gives: two network namespaces and one path between them, offloads on.

RDMA WRITEs of 1 MiB beside a stream of raw UDP in bursts (UDP_SEGMENT, UDP_GRO; no protocol, the ceiling) and beside
one TCP connection (iperf3 as it comes, 128 KiB in a call; and with 1 MiB in a call); ping-pong of 64 bytes beside the
same over raw UDP sockets, both sides polling: once with the bytes alone, and once with as many as weft's packet has.
Needs root.
"""
import sys

from bench import Bar, Bench, Case, Metric, Spec

HEADERS = 80  # Of weft's, in a packet.


def stream(bench, mtu):
    size = mtu - 28  # IPv4 and UDP.

    def weft(world):
        return bench.verbs(world, "bw", "--op", "write", "-s", "1m", "--window", 16, "--seconds", bench.seconds)

    def udp(world):
        return bench.udp(world, "stream", "-s", size, "--seconds", bench.seconds)

    def tcp(*options):
        return lambda world: bench.iperf(world, *options)

    return Case(f"write-{mtu}", f"RDMA WRITE 1 MiB, one path, MTU {mtu}",
                Spec("lab", paths=1, mtu=mtu, offload=True),
                {"weft": weft, "raw udp": udp, "tcp": tcp(), "tcp, 1 MiB": tcp("-l", "1M")},
                Metric("gbytes", "GB/s", Bar(1, ">=", 0.75, "raw udp"), Bar(1, ">=", 2, "tcp")))


def pingpong(bench, mtu):
    iterations = 5000 if bench.args.quick else 30000

    def weft(world):
        return bench.verbs(world, "lat", "-s", 64, "--iterations", iterations)

    def udp(size):
        return lambda world: bench.udp(world, "pingpong", "-s", size, "--iterations", iterations)

    return Case(f"pingpong-{mtu}", f"SEND 64 B ping-pong, one way, one path, MTU {mtu}",
                Spec("lab", paths=1, mtu=mtu, offload=True),
                {"weft": weft, "raw udp": udp(64), f"raw udp, {64 + HEADERS} B": udp(64 + HEADERS)},
                Metric("p50_ns", "ns", Bar(2, "<=", 1.2, "raw udp")), Metric("p99_ns", "ns"),
                Metric("p999_ns", "ns"))


def main():
    bench = Bench("wire", __doc__)
    sys.exit(bench.run([make(bench, mtu) for mtu in (1500, 9000) for make in (stream, pingpong)]))


if __name__ == "__main__":
    main()
