#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_pods.py PRELOAD WEFT: pods as hosts. What Kubernetes makes of a pod are namespaces, and these are made here:

    node    10.99.6.1 on eth0, a bridge cni0 10.99.5.1 that must not become a card
    a, b    pods: a network namespace, process numbers and a /dev/shm of their own, eth0 10.99.5.2 and .3

A pod is a host by its address. Shared memory is for containers of one pod, and for pods that share both the node's network
and its /dev/shm; all others take UDP. A policy that lets no UDP through looks like a security group that does not.
"""
import os
import subprocess
import sys

import e2e
from test_pingpong import bytes_said

POLICY = "add table inet weft\nadd chain inet weft ingress {{ type filter hook input priority 0; }}\n" \
         "add rule inet weft ingress {rule}\n"
# What runtimes do: /dev/shm is the pod's own, or, where a volume says so, a folder of the node.
CONTAINER = 'if [ "$1" = own ]; then mount -t tmpfs tmpfs /dev/shm; else mount --bind "$1" /dev/shm; fi; shift; exec "$@"'


class Pods(e2e.World):
    def __init__(self, preload):
        if os.geteuid() != 0:
            e2e.skip("network namespaces need root")
        e2e.need("ip", "timeout", "fi_pingpong")
        super().__init__("udp", preload)
        self.name = "pods"
        self.hosts = ["10.99.5.2", "10.99.5.3", "10.99.6.1"]
        names = [f"weft-pod-{os.getpid()}-{which}" for which in ("a", "b", "node")]
        a, b, node = names
        steps = [f"netns add {name}" for name in names] + [
            f"-n {node} link add cni0 type bridge",
            f"-n {node} addr add 10.99.5.1/24 dev cni0",
            f"-n {node} link set cni0 up",
            f"-n {node} link add eth0 type veth peer name uplink",
            f"-n {node} addr add 10.99.6.1/24 dev eth0",
            f"-n {node} link set eth0 up",
            f"-n {node} link set uplink up",
        ]
        for name, host, end in ((a, 2, "vetha"), (b, 3, "vethb")):
            steps += [
                f"link add {end} netns {node} type veth peer name eth0 netns {name}",
                f"-n {node} link set {end} master cni0 up",
                f"-n {name} addr add 10.99.5.{host}/24 dev eth0",
                f"-n {name} link set lo up",
                f"-n {name} link set eth0 up",
                f"-n {name} route add default via 10.99.5.1",
            ]
        steps.append(f"-n {node} link set lo up")
        self.spaces = names
        for step in steps:
            done = subprocess.run(["ip", *step.split()], capture_output=True, text=True, check=False)
            if done.returncode:
                e2e.skip(f"cannot make pods: ip {step}: {done.stderr.strip()}")
        self.shm = os.path.join(self.run_dir, "node")
        os.mkdir(self.shm)
        os.chmod(self.shm, 0o1777)
        # Where the two programs of a test run, and with which /dev/shm.
        self.places = [(0, "own"), (1, "own")]

    def within(self, side):
        where, shm = self.places[side]
        return ["ip", "netns", "exec", self.spaces[where], "unshare", "--mount", "--pid", "--fork", "--kill-child",
                "--mount-proc", "sh", "-c", CONTAINER, "container", shm]

    def policy(self, where, rule):
        text = "add table inet weft\ndelete table inet weft\n" + (POLICY.format(rule=rule) if rule else "")
        subprocess.run(["ip", "netns", "exec", self.spaces[where], "nft", "-f", "-"], input=text, capture_output=True,
                       text=True, check=True)


def pingpong(world, places, seconds=20, uid=None, **extra):
    """A server in one container, a client in another one."""
    world.places = places
    port = e2e.free_port()
    server = ["fi_pingpong", "-p", "efa", "-e", "rdm", "-c", "-S", "65536", "-I", "20", "-B", str(port)]
    settings = {"WEFT_ADDR": None, "WEFT_WIRE": None, "WEFT_RUN_DIR": None, **extra}
    a = world.start(0, server, seconds, uid, **settings)
    world.listens(a, port)
    b = world.finish(world.start(1, server[:-2] + ["-P", str(port), world.hosts[places[0][0]]], seconds, uid, **settings))
    if b.rc:
        a.kill()  # Nobody will come any more; and unshare, which takes the program along, hears nothing else.
    return world.finish(a), b


def check(world, tap, name, places, wire, **extra):
    a, b = pingpong(world, places, **extra)
    world.wire = wire
    if a.rc or b.rc or not bytes_said(b):
        why = f"server exit {a.rc}, client exit {b.rc}"
    else:
        why = world.carried(a, b)
    tap.check(not why, name, why, a, b)


def blocked(world, tap, weft):
    """TCP passes, so the programs find each other; SRD does not."""
    a, b = pingpong(world, [(0, "own"), (1, "own")], WEFT_DEAD_AFTER="1s", FI_LOG_LEVEL="warn")
    # The device's code for it, as on EC2; libfabric 1.17 has no words for this one.
    tap.check(b.rc not in (0, 124) and "prov_err: Unknown error (15)" in b.err, "a policy without UDP: never a response", a, b)
    logs = subprocess.run([weft, "logs"], input=b.err, capture_output=True, text=True, check=False)
    tap.check(logs.returncode == 1 and "peer-filtered" in logs.stdout and "NetworkPolicy" in logs.stdout,
              "a policy without UDP: weft logs says so", logs.stdout)


def main():
    world = Pods(sys.argv[1])
    weft = os.path.abspath(sys.argv[2])
    tap = e2e.Tap()
    a, b, node = 0, 1, 2
    nobody = e2e.UNPRIVILEGED
    info = world.run(["fi_info", "-p", "efa", "-t", "FI_EP_RDM"], 0, WEFT_ADDR=None, WEFT_WIRE=None, WEFT_RUN_DIR=None)
    tap.check(info.rc == 0 and info.out.count("provider: efa") == 1, "a pod has one card", info)
    check(world, tap, "two pods: UDP", [(a, "own"), (b, "own")], "udp")
    check(world, tap, "two pods, unprivileged: UDP", [(a, "own"), (b, "own")], "udp", uid=nobody)
    check(world, tap, "two pods of four cards: UDP", [(a, "own"), (b, "own")], "udp", WEFT_INSTANCE="p4d.24xlarge")
    check(world, tap, "two pods with the node's /dev/shm: still UDP", [(a, world.shm), (b, world.shm)], "udp")
    # libfabric would take shared memory of its own between processes of one address.
    own = {"FI_EFA_ENABLE_SHM_TRANSFER": "0"}
    check(world, tap, "two containers of a pod, which share /dev/shm: shared memory", [(a, world.shm), (a, world.shm)], "local",
          **own)
    check(world, tap, "two containers of a pod, each with a /dev/shm: UDP", [(a, "own"), (a, "own")], "udp", **own)
    check(world, tap, "two pods in the node's network: UDP", [(node, "own"), (node, "own")], "udp", **own)
    check(world, tap, "two pods in the node's network with its /dev/shm: shared memory", [(node, world.shm), (node, world.shm)],
          "local", **own)
    check(world, tap, "a pod in the node's network, and one that is not: UDP", [(node, "own"), (a, "own")], "udp")
    if e2e.shutil.which("nft"):
        world.policy(a, "meta l4proto udp drop")
        blocked(world, tap, weft)
        world.policy(a, "")
    else:
        tap.skip("a policy without UDP", "no nft here (Debian package nftables)")
    tap.done()


if __name__ == "__main__":
    main()
