# SPDX-License-Identifier: BSD-2-Clause
"""A laboratory for faults: two hosts and several ways between them, all made by the test and only seen by it.

        namespace a                                      namespace b

                       p0  10.98.10.1 ------ 10.98.10.2  p0
    lo 10.98.0.1       p1  10.98.11.1 ------ 10.98.11.2  p1       lo 10.98.0.2
    lo fd98::1         p2  10.98.12.1 ------ 10.98.12.2  p2       lo fd98::2
                       p3  10.98.13.1 ------ 10.98.13.2  p3

The hosts' addresses are on `lo` and belong to no way. Routes of equal cost lead over all of them, and the kernel takes
one by the ports of a packet (fib_multipath_hash_policy=1), as a switch would. What arrives can be lost on purpose
(nftables, UDP only, so that programs can still find each other by TCP), and a way can turn black or go down.

A drop rule sees what the sender's kernel sees: with segmentation offload that is bursts and not packets. Hence it is
off on these links, unless the test asks for it. With `software` bursts are still made, and cut by the kernel just
before the link: TCP is slow without, and whoever compares with it needs them.

Needs root, iproute2, ethtool and nftables.
"""
import json
import os
import subprocess

import e2e

SYSCTLS = {
    "net/ipv4/fib_multipath_hash_policy": "1",
    "net/ipv6/fib_multipath_hash_policy": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
}

FOUR = ["10.98.0.1", "10.98.0.2"]
SIX = ["fd98::1", "fd98::2"]


class Lab(e2e.World):
    """World of e2e.py, so that programs are run the same way."""

    def __init__(self, preload, paths=4, mtu=1500, offload=False, software=False, rate=None):
        if os.geteuid() != 0:
            e2e.skip("network namespaces need root")
        e2e.need("ip", "timeout")
        super().__init__("udp", preload)
        self.name = "lab"
        self.paths = [f"p{i}" for i in range(paths)]
        self.spaces = [f"weft-lab-{os.getpid()}-{side}" for side in "ab"]
        self.hosts = list(FOUR)
        self.control = FOUR[0]
        self.offload = offload
        self.software = software
        try:
            self.build(mtu)
            if rate:
                self.shape(rate)
        except subprocess.CalledProcessError as error:
            e2e.skip(f"cannot make the lab: {' '.join(error.cmd)}: {error.stderr.strip()}")

    def build(self, mtu):
        for space in self.spaces:
            self.tool("ip", "netns", "add", space)
        for side, space in enumerate(self.spaces):
            self.ip(side, "link set lo up")
            self.ip(side, f"addr add {FOUR[side]}/32 dev lo")
            self.ip(side, f"addr add {SIX[side]}/128 dev lo nodad")
            for name, value in SYSCTLS.items():
                self.tool(*self.within(side), "sh", "-c", f"echo {value} >/proc/sys/{name}")
        for path in self.paths:
            self.tool("ip", "link", "add", path, "mtu", str(mtu), "netns", self.spaces[0], "type", "veth",
                      "peer", "name", path, "mtu", str(mtu), "netns", self.spaces[1])
            for side in (0, 1):
                number = int(path[1:])
                self.ip(side, f"addr add 10.98.{10 + number}.{side + 1}/24 dev {path}")
                self.ip(side, f"addr add fd98:{number + 1}::{side + 1}/64 dev {path} nodad")
                if not self.offload:
                    self.tool(*self.within(side), "ethtool", "-K", path, "tso", "off", "gso", "off", "gro",
                              "off")
                    if self.software:
                        self.tool(*self.within(side), "ethtool", "-K", path, "tx-udp-segmentation", "off")
                    else:
                        self.ip(side, f"link set {path} gso_max_segs 1")
                self.ip(side, f"link set {path} up")
        self.routes()

    def routes(self, mtu=None):
        """Of equal cost, over all ways; with a limit on the length of packets if one is given."""
        for side in (0, 1):
            limit = ["mtu", str(mtu)] if mtu else []
            for family, hosts, network in (("-4", FOUR, "10.98.1{}.{}"), ("-6", SIX, "fd98:{}::{}")):
                hops = []
                for path in self.paths:
                    number = int(path[1:]) + (0 if family == "-4" else 1)
                    hops += ["nexthop", "via", network.format(number, 2 - side), "dev", path]
                self.tool("ip", "-n", self.spaces[side], family, "route", "replace", hosts[1 - side], *limit,
                          "src", hosts[side], *hops)

    @staticmethod
    def tool(*words):
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout

    def ip(self, side, words):
        return self.tool("ip", "-n", self.spaces[side], *words.split())

    def shape(self, rate):
        """Each way carries so much and no more, in both directions, as `tc` writes rates; with a queue of 5 ms."""
        for side in (0, 1):
            for path in self.paths:
                self.tool("tc", "-n", self.spaces[side], "qdisc", "replace", "dev", path, "root", "tbf", "rate", rate,
                          "burst", "128k", "latency", "5ms")

    def nft(self, side, rule, protocols="udp"):
        """The one rule on what arrives at a host; '' for none."""
        text = "add table inet weft\ndelete table inet weft\n"
        if rule:
            text += "add table inet weft\nadd chain inet weft arrived { type filter hook input priority 0; }\n" \
                    f"add rule inet weft arrived meta l4proto {protocols} {rule} counter drop\n"
        subprocess.run([*self.within(side), "nft", "-f", "-"], input=text, capture_output=True, text=True,
                       check=True, timeout=20)

    def both(self, rule, protocols="udp"):
        for side in (0, 1):
            self.nft(side, rule, protocols)

    def lossy(self, per_ten_thousand, protocols="udp"):
        self.both(f"numgen random mod 10000 < {per_ten_thousand}", protocols)

    def black(self, *paths):
        """Nothing comes through these ways, and nobody says so."""
        self.both(f"iifname {{ {', '.join(paths)} }}")

    def whole(self):
        self.both("")

    def dropped(self):
        """Packets that the rules took, of both hosts."""
        total = 0
        for side in (0, 1):
            listing = json.loads(self.tool(*self.within(side), "nft", "-j", "list", "ruleset"))
            for entry in listing["nftables"]:
                for part in entry.get("rule", {}).get("expr", []):
                    total += part.get("counter", {}).get("packets", 0)
        return total

    def set_mtu(self, mtu):
        for side in (0, 1):
            for path in self.paths:
                self.ip(side, f"link set {path} mtu {mtu}")

    def links(self, side, state):
        for path in self.paths:
            self.ip(side, f"link set {path} {state}")

    def packets(self, side):
        """Sent over each way so far."""
        links = json.loads(self.tool("ip", "-n", self.spaces[side], "-s", "-j", "link"))
        sent = {link["ifname"]: link["stats64"]["tx"]["packets"] for link in links}
        return [sent[path] for path in self.paths]

    def fragments(self):
        """What the IP layers of both hosts had to do with fragments, by name; only what is not 0."""
        found = {}
        for side in (0, 1):
            text = self.tool(*self.within(side), "cat", "/proc/net/snmp", "/proc/net/snmp6")
            heads = None
            for line in text.splitlines():
                words = line.split()
                if words[0] == "Ip:":
                    if heads:
                        count(found, zip(heads, words[1:]))
                    heads = words[1:]
                elif words[0].startswith("Ip6"):
                    count(found, [(words[0], words[1])])
        return found


def count(found, pairs):
    for name, value in pairs:
        # Fails is what tells a sender that a packet was too long: that is how it should be.
        if ("Frag" in name or "Reasm" in name) and not name.endswith("FragFails") and int(value):
            found[name] = found.get(name, 0) + int(value)
