#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_check.py WEFT FIXTURES: every fault that `weft check` knows, on a machine that has it and on the same machine
without it. A row is an id, the severity it is to be found with, what makes the fault, and optionally arguments;
on the healthy twin the id is absent, or ok. TAP."""

import copy
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, sys.argv[2])
import machine as m  # noqa: E402  pylint: disable=wrong-import-position

WEFT = os.path.abspath(sys.argv[1])
ENV = {k: v for k, v in os.environ.items()
       if not k.startswith(("WEFT_", "FI_", "NCCL_", "UCX_", "OMPI_", "RDMAV_", "LD_"))}
RANK = {"ok": 0, "note": 1, "warn": 2, "fail": 3}
count = 0
failed = 0


def report(good, name, *details):
    global count, failed
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        failed += 1
        for detail in details:
            for line in str(detail).splitlines()[:40]:
                print("#", line[:2000])


def run(*args, env=None, data=None):
    return subprocess.run([WEFT, "check", *args], capture_output=True, env={**ENV, **(env or {})}, input=data, check=False,
                          timeout=60)


TOP = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
written = {}  # Trees by identity: most rows have the same twin.
known = {}


def place_of(tree):
    if id(tree) not in written:
        path = f"{TOP.name}/{len(written)}"
        m.write(tree, path)
        written[id(tree)] = (path, tree)
    return written[id(tree)][0]


def check(tree=None, args=(), files=()):
    """The findings, by id the worst severity, and the exit status."""
    key = (id(tree), tuple(args), json.dumps(files))
    if key in known:
        return known[key]
    where = [] if tree is None else ["--root", place_of(tree)]
    args = list(args)
    for i, (option, content) in enumerate(files):
        path = f"{TOP.name}/file{i}"
        with open(path, "w", encoding="utf-8") as out:
            out.write(content if isinstance(content, str) else json.dumps(content))
        args += [option, path]
    done = run(*where, "--json", *args)
    worst = {}
    try:
        for one in json.loads(done.stdout)["findings"]:
            if one["id"] not in worst or RANK[one["severity"]] > RANK[worst[one["id"]]]:
                worst[one["id"]] = one["severity"]
    except ValueError:
        pass
    known[key] = (worst, done.returncode, done)
    return known[key]


tested = set()


def row(finding, severity, name, bad, good, args=(), files=None, good_files=None):
    """`bad` and `good` are trees (None: this machine), or the files are what differs."""
    tested.add(finding)
    got, status, done = check(bad, args, files or ())
    want = {"fail": (2,), "warn": (1, 2), "note": (0, 1, 2)}[severity]
    report(got.get(finding) == severity and status in want, f"{finding}: {name}", got, status, done.stderr.decode())
    got, status, done = check(good, args, good_files or ())
    report(got.get(finding, "ok") == "ok" and status in (0, 1, 2), f"{finding}: silent on the twin ({name})", got, status,
           done.stderr.decode())


def with_(tree, changes):
    """A copy with other contents; None takes a path away."""
    tree = copy.copy(tree)
    for path, content in changes.items():
        if content is None:
            tree = m.drop(tree, path)
        else:
            tree[path] = content
    return tree


P4D = m.machine("p4d.24xlarge")
P5 = m.machine("p5.48xlarge")
P5EN = m.machine("p5en.48xlarge")
HPC = m.machine("hpc7a.96xlarge")
G5 = m.machine("g5.48xlarge")
B200 = m.machine("p6-b200.48xlarge")


# Healthy machines
for name, tree in (("p4d", P4D), ("p5", P5), ("p5en", P5EN), ("hpc7a", HPC), ("g5", G5), ("B200", B200)):
    got, status, done = check(tree)
    bad = {k: v for k, v in got.items() if v in ("warn", "fail")}
    report(status == 0 and not bad, f"healthy {name}", bad, status, done.stderr.decode())
got, status, done = check(m.machine("p5.48xlarge", efa_only=True))
report(status == 0 and got.get("card-kind") == "note", "healthy p5 with efa-only interfaces", got)

# The cards
row("card-none", "fail", "an EFA type launched without EFA", m.machine("p4d.24xlarge", cards=0), P4D)
row("card-none", "note", "a machine that is none of AWS",
    with_(m.machine("p4d.24xlarge", cards=0), {"sys/devices/virtual/dmi": None}), P4D)
row("card-count", "fail", "p5en with a card missing", m.machine("p5en.48xlarge", cards=15), P5EN)
row("card-count", "fail", "one card attached of four", m.machine("p4d.24xlarge", cards=1), P4D)
row("card-late", "warn", "p5en with a card missing, just booted",
    with_(m.machine("p5en.48xlarge", cards=15), {"proc/uptime": "60.5 1.0\n"}), P5EN)
no_driver = m.drop(m.machine("p4d.24xlarge", cards=3), "sys/module/efa/")
m.card(no_driver, 3, 0xEFA0, 100, driver=False)
row("card-driver", "fail", "a PCI device without a driver", no_driver, P4D)
row("card-down", "fail", "a port that is down",
    with_(P4D, {"sys/devices/pci0000:10/0000:10:1b.0/infiniband/rdmap16s27/ports/1/state": "1: DOWN\n"}), P4D)
mellanox = copy.copy(B200)
for i in range(2):
    m.rdma(mellanox, m.pci(mellanox, f"0000:a{i}:00.0", 0x15B3, 0x101D, 0x020700, 0, f"0000:a{i}"), f"ibp16{i}s0",
           40 + i, 100, "mlx5_core")
row("card-foreign", "note", "B200 with Mellanox management NICs", mellanox, B200)
got, status, done = check(mellanox)
report(got.get("card-count") == "ok" and status == 0, "B200 with Mellanox management NICs: eight cards, not ten", got)
row("card-access", "fail", "a container without devices", m.drop(P5, "dev/infiniband/"), P5)
row("card-access", "fail", "a device cgroup that forbids",
    with_(P5, {"dev/infiniband/uverbs0": m.Device(1)}), P5)
share = {path: content for path, content in P5.items()
         if not path.startswith("dev/infiniband/") or path.endswith(("uverbs0", "uverbs1", "uverbs2", "uverbs3"))}
row("card-access", "warn", "device files of some cards only", share, P5)
row("card-access", "note", "a container that was given some of the cards", with_(share, {".dockerenv": ""}), P5)
foreign = with_(mellanox, {f"dev/infiniband/uverbs{i}": m.Device(1) for i in range(8)})
row("card-nodes-foreign", "fail", "only the Mellanox nodes can be opened", foreign, mellanox)
row("card-speed", "note", "a driver that says 100 Gb/s on a card of 200",
    with_(P5EN, {"sys/devices/pci0000:10/0000:10:1b.0/infiniband/rdmap16s27/ports/1/rate": "100 Gb/sec (4X EDR)\n"}), P5EN)
row("driver-version", "note", "efa 2.10", with_(P4D, {"sys/module/efa/version": "2.10.0\n"}), P4D)
mixed = m.machine("p4d.24xlarge", cards=3)
m.card(mixed, 3, 0xEFA1, 100)
row("card-generation", "warn", "cards of two generations", mixed, P4D)
got, status, done = check(P4D, ["--expect", "p5.48xlarge"])
report(got.get("card-generation") == "warn" and got.get("card-count") == "fail", "--expect another type", got)
row("card-rdma", "note", "g5 has no RDMA", G5, P4D)
row("card-kind", "note", "efa-only", m.machine("p5.48xlarge", efa_only=True), P5)
far = copy.copy(P4D)
m.pci(far, "0000:e0:1c.0", 0x10DE, 0x20B0, 0x030200, 7, "0000:e0")
row("gpu-distance", "note", "a GPU on a NUMA node without a card", far, P4D)
counters = "sys/devices/pci0000:10/0000:10:1b.0/infiniband/rdmap16s27/ports/1/hw_counters/"
row("path-loss", "warn", "timeouts", with_(P4D, {counters + "retrans_timeout_events": "7\n"}), P4D)
row("path-loss", "warn", "impaired connections", with_(P4D, {counters + "impaired_remote_conn_events": "1\n"}), P4D)
got, status, done = check(with_(P4D, {counters + "retrans_timeout_events": "7\n", counters + "tx_pkts": "90000000\n"}))
report(got.get("path-loss") == "note" and status == 0, "path-loss: a few in many millions are a note", got)
row("reg-mr-errors", "warn", "failed registrations", with_(P4D, {counters + "reg_mr_err": "3\n"}), P4D)

# Memory, limits, kernel
row("memlock", "fail", "64 KiB", with_(P5, {"proc/100/limits": m.limits(memlock="65536")}), P5)
row("memlock", "warn", "16 GiB", with_(P5, {"proc/100/limits": m.limits(memlock=str(16 << 30))}), P5)
row("memlock", "fail", "64 KiB, and no CAP_IPC_LOCK", with_(P5, {"proc/100/limits": m.limits(memlock="65536")}),
    with_(P5, {"proc/100/limits": m.limits(memlock="65536"),
               "proc/100/status": "Name:\tweft\nCapEff:\t000001ffffffffff\n"}))
pages = "sys/kernel/mm/hugepages/hugepages-2048kB/"
row("hugepages", "warn", "5128 pages on a p5", with_(P5, {pages + "nr_hugepages": "5128\n"}), P5)
row("hugepages", "warn", "none free", with_(P5, {pages + "free_hugepages": "3\n"}), P5)
OLD = m.machine("p4d.24xlarge", kernel="4.14.355-276.618.amzn2.x86_64")
row("fork", "warn", "Linux 4.14", OLD, P4D)
row("shm", "warn", "64 MiB", with_(P5, {"proc/100/mounts": "shm /dev/shm tmpfs rw,size=65536k 0 0\n"}), P5)
row("nofile", "note", "1024", with_(P5, {"proc/100/limits": m.limits(nofile="1024")}), P5)
row("gpudirect", "fail", "no peer memory module", m.drop(P5, "sys/module/efa_nv_peermem"), P5)
row("gpudirect", "fail", "closed modules against open ones", m.drop(P5, "sys/module/efa_nv_peermem"),
    with_(m.drop(P5, "sys/module/efa_nv_peermem"),
          {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.90.07\n"}))
moved = m.drop(P5, "sys/module/efa_nv_peermem", "lib/modules/")
moved["lib/modules/5.10.1/extra/efa_nv_peermem.ko"] = ""
row("peer-module", "warn", "built for another kernel", moved, P5)

# Software
row("lib-none", "warn", "no libfabric", m.drop(P5, m.EFA), P5)
two = copy.copy(P5)
m.libfabric(two, m.LIB, file="libfabric.so.1.20.0")
row("lib-duplicate", "warn", "two libfabrics", two, P5)
newer = m.drop(P5, m.LIB + "/libefa", m.LIB + "/libibverbs")
m.library(newer, m.LIB, "libibverbs.so.1.15.59.0", "libibverbs.so.1",
          defines=["libibverbs.so.1", "IBVERBS_1.1", "IBVERBS_1.14", "IBVERBS_PRIVATE_59"])
m.library(newer, m.LIB, "libefa.so.1.2.44.0", "libefa.so.1", defines=["libefa.so.1", "EFA_1.0"],
          needs={"libibverbs.so.1": ["IBVERBS_PRIVATE_34"]})
row("lib-symbols", "fail", "libefa of another rdma-core", newer, P5)
row("lib-symbols", "fail", "no driver of the private ABI", m.drop(P5, m.LIB + "/libibverbs/"), P5)
no_efa = m.drop(P5, m.EFA)
m.libfabric(no_efa, m.EFA, efa=False)
row("lib-no-efa", "fail", "libfabric built without EFA", no_efa, P5)
static = m.drop(P5, m.EFA)
m.library(static, m.EFA, "libfabric.so.1.26.0", "libfabric.so.1", defines=["libfabric.so.1"], data=b"x" * 70000 + b"use_device_rdma\0")
row("lib-no-efa", "fail", "libfabric without EFA, against one with EFA inside", no_efa, static)
row("lib-version", "warn", "NCCL 2.23 with EFA installer 1.26",
    with_(P5, {"opt/amazon/efa_installed_packages": "# EFA installer version: 1.26.0\n"}), P5)
row("lib-version", "warn", "p5 with an old plugin",
    with_(P5, {"opt/amazon/efa_installed_packages": "# EFA installer version: 1.30.0\nlibnccl-ofi-1.7.0-1.x86_64\n"}), P5)
row("lib-broken", "warn", "a library that is cut off", with_(P5, {m.LIB + "/libefa.so.1.2.44.0": b"\x7fELF\x02\x01"}), P5)
row("plugin-none", "fail", "NCCL without a plugin", m.drop(P5, m.OFI), P5)
sharp = m.drop(P5, m.OFI)
m.library(sharp, m.LIB, "libnccl-net.so", "libnccl-net.so", needed=["libsharp_coll.so.5"])
row("plugin-none", "fail", "the plugin of HPC-X", sharp, P5)
old_core = m.drop(P5, m.LIB + "/libefa", m.LIB + "/libibverbs")
m.rdma_core(old_core, m.LIB, version="31.0", abi="25")
row("fork", "warn", "rdma-core 31", old_core, P5)
off_path = with_(P5, {"etc/ld.so.cache": m.cache([("libfabric.so.1", "/" + m.EFA + "/libfabric.so.1")])})
row("plugin-none", "fail", "a plugin off the path", off_path,
    with_(off_path, {"weft-env": f"LD_LIBRARY_PATH=/{m.OFI}\n"}))
row("mpi-no-ofi", "warn", "an MPI without ofi", m.drop(P5, "opt/amazon/openmpi/lib64/openmpi"), P5)
hpcx = with_(P5, {"opt/hpcx/ompi/bin/mpirun": "#!\n", "weft-env": "PATH=/opt/hpcx/ompi/bin:/opt/amazon/openmpi/bin\n"})
row("mpi-two", "warn", "mpirun of HPC-X before Amazon's", hpcx, P5)
both = copy.copy(P5)
m.library(both, "opt/amazon/openmpi5/lib64", "libmpi.so.40.40.7", "libmpi.so.40")
third = copy.copy(both)
m.library(third, "opt/hpcx/ompi/lib", "libmpi.so.40.30.4", "libmpi.so.40")
row("mpi-two", "warn", "a third one beside the two of the EFA installer", third, both)
ucx = copy.copy(P5)
m.library(ucx, m.LIB, "libucp.so.0.0.0", "libucp.so.0")
row("ucx-no-efa", "warn", "UCX without its EFA transport", ucx, with_(ucx, {m.LIB + "/ucx/libuct_ib_efa.so.0": m.elf("x")}))
ibgda = copy.copy(P5)
m.library(ibgda, "opt/nvshmem/lib", "nvshmem_transport_ibgda.so.3", "nvshmem_transport_ibgda.so.3")
row("nvshmem-ibgda", "warn", "NVSHMEM's IBGDA beside EFA", ibgda, P5)


# Environment
def env(text, tree=P5):
    return with_(tree, {"weft-env": tree["weft-env"] + text})


row("env-device-rdma", "fail", "on a card without RDMA", env("FI_EFA_USE_DEVICE_RDMA=1\n", G5),
    env("FI_EFA_USE_DEVICE_RDMA=1\n", P5))
row("env-removed", "fail", "FI_EFA_MTU_SIZE", env("FI_EFA_MTU_SIZE=4096\n"), env("FI_EFA_RX_SIZE=4096\n"))
row("env-removed", "fail", "an empty FI_EFA_IFACE", env("FI_EFA_IFACE=\n"), env("FI_EFA_IFACE=all\n"))
both = "FI_EFA_USE_HUGE_PAGE=1\nFI_EFA_FORK_SAFE=1\n"
row("env-hugepage-fork", "fail", "on an old kernel", env(both, OLD), env(both, P4D))
row("env-ifname", "fail", "no such interface", env("NCCL_SOCKET_IFNAME=eth0\n"), env("NCCL_SOCKET_IFNAME=ens\n"))
row("env-ifname", "fail", "Gloo with an exclusion", env("GLOO_SOCKET_IFNAME=^lo\n"), env("GLOO_SOCKET_IFNAME=ens32\n"))
pod_link = with_(P5, {"sys/class/net/pod-id-link0/mtu": "9001\n"})
row("env-ifname", "warn", "EKS's pod identity link", pod_link, env("NCCL_SOCKET_IFNAME=^lo,pod-id-link\n", pod_link))
row("env-tcp", "warn", "NCCL_NET=Socket", env("NCCL_NET=Socket\n"), env("NCCL_NET=AWS Libfabric\n"))
row("env-tcp", "warn", "an empty FI_PROVIDER", env("FI_PROVIDER=\n"), env("FI_PROVIDER=efa\n"))
row("env-tcp", "warn", "MOONCAKE_PROTOCOL", env("MOONCAKE_PROTOCOL=tcp\n"), env("MOONCAKE_PROTOCOL=efa\n"))
row("env-ranks", "warn", "192 ranks", env("OMPI_COMM_WORLD_LOCAL_SIZE=192\n"),
    env("OMPI_COMM_WORLD_LOCAL_SIZE=192\nFI_EFA_SHM_AV_SIZE=256\n"))
row("env-noop", "note", "NCCL_IB_HCA", env("NCCL_IB_HCA=rdmap16s27\n"), env("NCCL_DEBUG=INFO\n"))
row("env-deprecated", "warn", "NCCL_PROTO", env("NCCL_PROTO=simple\n"), env("NCCL_DEBUG=INFO\n"))
row("env-harmful", "warn", "RDMAV_FORK_SAFE", env("RDMAV_FORK_SAFE=1\n"), env("NCCL_DEBUG=INFO\n"))
row("env-unknown", "warn", "a misspelt name", env("FI_EFA_FORKSAFE=1\n"), env("FI_EFA_FORK_SAFE=0\n"))
old_plugin = with_(P4D, {"opt/amazon/efa_installed_packages": "# EFA installer version: 1.20.0\nlibnccl-ofi-1.6.0-1.x86_64\n"})
row("env-missing", "warn", "plugin 1.6 without FI_EFA_USE_DEVICE_RDMA", old_plugin, env("FI_EFA_USE_DEVICE_RDMA=1\n", old_plugin))
row("env-tcp", "warn", "in /etc/nccl.conf", with_(P5, {"etc/nccl.conf": "# speed\nNCCL_NET=Socket\n"}),
    with_(P5, {"etc/nccl.conf": "# NCCL_NET=Socket\nNCCL_DEBUG=WARN\n"}))
POD = """spec:
  containers:
  - env:
    - name: NCCL_DEBUG
      value: INFO
    - name: FI_EFA_USE_DEVICE_RDMA
      value: "%s"
"""
row("env-device-rdma", "fail", "in a pod spec", G5, G5, files=[("--env-file", POD % "1")], good_files=[("--env-file", POD % "0")])
SCRIPT = """#!/bin/bash
#SBATCH --nodes=2
export NCCL_DEBUG=INFO
mpirun -x NCCL_SOCKET_IFNAME -x FI_PROVIDER=%s --mca pml ^cm,ucx ./all_reduce_perf
"""
row("env-tcp", "warn", "in a job script", HPC, HPC, files=[("--env-file", SCRIPT % "efa")],
    good_files=[("--env-file", SCRIPT.replace("--mca pml ^cm,ucx ", "") % "efa")])


# AWS
def group(name="sg-1", into=True, out=True):
    rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": name}]}
    anywhere = {"IpProtocol": "-1", "UserIdGroupPairs": [], "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    return {"GroupId": name, "IpPermissions": [rule] if into else [anywhere],
            "IpPermissionsEgress": [rule, anywhere] if out else [anywhere]}


def interface(index, kind="efa", groups=("sg-1",), device=None):
    return {"InterfaceType": kind, "Groups": [{"GroupId": g} for g in groups],
            "Attachment": {"NetworkCardIndex": index, "DeviceIndex": (1 if index else 0) if device is None else device}}


def instance(name, kind="p4d.24xlarge", zone="us-west-2a", vpc="vpc-1", interfaces=None, placement="pg"):
    return {"InstanceId": name, "InstanceType": kind, "VpcId": vpc, "State": {"Name": "running"},
            "Placement": {"AvailabilityZone": zone, "GroupName": placement},
            "NetworkInterfaces": [interface(i) for i in range(4)] if interfaces is None else interfaces}


def aws(*instances, groups=None):
    return [("--aws-json", {"Reservations": [{"Instances": list(instances)}]}),
            ("--aws-json", {"SecurityGroups": [group()] if groups is None else groups})]


def aws_row(finding, severity, name, files, good_files):
    row(finding, severity, name, P4D, P4D, files=files, good_files=good_files)


PAIR = aws(instance("i-1"), instance("i-2"))
got, status, done = check(P4D, files=PAIR)
report(status == 0 and got.get("sg-in") == got.get("sg-out") == "ok", "two healthy instances", got)
aws_row("sg-in", "fail", "no inbound self rule", aws(instance("i-1"), instance("i-2"), groups=[group(into=False)]), PAIR)
aws_row("sg-out", "fail", "0.0.0.0/0 outbound only", aws(instance("i-1"), instance("i-2"), groups=[group(out=False)]), PAIR)
aws_row("sg-in", "fail", "groups alone", [("--aws-json", {"SecurityGroups": [group(into=False)]})],
        [("--aws-json", {"SecurityGroups": [group(), group("sg-2", into=False, out=False)]})])
RULES = [{"GroupId": "sg-1", "IsEgress": out, "IpProtocol": "-1", "ReferencedGroupInfo": {"GroupId": "sg-1"}}
         for out in (False, True)]
aws_row("sg-out", "fail", "as describe-security-group-rules says it",
        PAIR[:1] + [("--aws-json", {"SecurityGroupRules": RULES[:1]})], PAIR[:1] + [("--aws-json", {"SecurityGroupRules": RULES})])
aws_row("sg-shared", "fail", "different groups",
        aws(instance("i-1"), instance("i-2", interfaces=[interface(i, groups=["sg-2"]) for i in range(4)])), PAIR)
aws_row("aws-zone", "fail", "two zones", aws(instance("i-1"), instance("i-2", zone="us-west-2b")), PAIR)
aws_row("aws-vpc", "fail", "two VPCs", aws(instance("i-1"), instance("i-2", vpc="vpc-2")), PAIR)
bastion = instance("i-3", kind="t3.micro", zone="us-west-2b", vpc="vpc-2", placement="", interfaces=[])
for name in ("aws-zone", "aws-vpc", "aws-types"):
    aws_row(name, "fail", "beside a bastion host that is no part of it",
            aws(instance("i-1"), instance("i-2", kind="p5.48xlarge", zone="us-west-2b", vpc="vpc-2"), bastion),
            aws(instance("i-1"), instance("i-2"), bastion))
aws_row("aws-types", "fail", "p4d with p5",
        aws(instance("i-1"), instance("i-2", kind="p5.48xlarge", interfaces=[interface(i) for i in range(32)])), PAIR)
aws_row("aws-cards", "warn", "one EFA of four", aws(instance("i-1", interfaces=[interface(0)])), PAIR)
aws_row("aws-no-efa", "fail", "ENA only", aws(instance("i-1", interfaces=[interface(0, kind="interface")])), PAIR)
aws_row("aws-index", "fail", "two on one card", aws(instance("i-1", interfaces=[interface(0), interface(0, device=1)])), PAIR)
aws_row("aws-index", "fail", "device index 0 on card 1",
        aws(instance("i-1", interfaces=[interface(0), interface(1, device=0)])), PAIR)
aws_row("aws-index", "fail", "efa-only as the primary", aws(instance("i-1", interfaces=[interface(0, kind="efa-only")])), PAIR)
aws_row("aws-placement", "note", "no placement group", aws(instance("i-1", placement=""), instance("i-2", placement="")), PAIR)


def template(public=False, placement="", reservation=False):
    data = {"InstanceType": "p4d.24xlarge", "NetworkInterfaces": [], "Placement": {"GroupName": placement}}
    for i in range(4):
        data["NetworkInterfaces"].append({"InterfaceType": "efa", "NetworkCardIndex": i, "DeviceIndex": int(i > 0),
                                          "AssociatePublicIpAddress": public and not i})
    if reservation:
        data["CapacityReservationSpecification"] = {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}}
    return [("--aws-json", {"LaunchTemplateVersions": [{"LaunchTemplateName": "efa", "LaunchTemplateData": data}]})]


aws_row("aws-public-ip", "fail", "with four interfaces", template(public=True), template())
aws_row("aws-reservation", "warn", "placement group and reservation", template(placement="pg", reservation=True),
        template(reservation=True))


# Kubernetes
def node(name="n1", kind="ml.p5.48xlarge", efas="32", pages="42242Mi", labels=None):
    return {"kind": "Node", "metadata": {"name": name, "labels": {"node.kubernetes.io/instance-type": kind, **(labels or {})}},
            "status": {"allocatable": {"vpc.amazonaws.com/efa": efas, "hugepages-2Mi": pages, "nvidia.com/gpu": "8"}}}


def pod(name="train", efas="32", gpus="8", where="n1", request=None, volume=None, pages=None, phase="Running", reason=None):
    limits = {"nvidia.com/gpu": gpus, "vpc.amazonaws.com/efa": efas, "hugepages-2Mi": pages}
    limits = {k: v for k, v in limits.items() if v}
    requests = dict(limits)
    if request:
        requests["vpc.amazonaws.com/efa"] = request
    spec = {"containers": [{"image": "train:1", "resources": {"limits": limits, "requests": requests}}], "volumes": []}
    if where:
        spec["nodeName"] = where
    if volume:
        spec["volumes"].append({"hostPath": {"path": volume}})
    status = {"phase": phase}
    if reason:
        status["conditions"] = [{"type": "PodScheduled", "reason": "Unschedulable", "message": reason}]
    return {"kind": "Pod", "metadata": {"name": name}, "spec": spec, "status": status}


PLUGIN = "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/aws-efa-k8s-device-plugin"


def plugin(version="v0.5.20", ready=True):
    return {"kind": "Pod", "metadata": {"name": "efa-aws-efa-k8s-device-plugin-x"},
            "spec": {"nodeName": "n1", "containers": [{"image": f"{PLUGIN}:{version}"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                       "containerStatuses": [] if ready else [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}


def daemon_set(ready):
    return {"kind": "DaemonSet", "metadata": {"name": "efa"}, "status": {"desiredNumberScheduled": 2, "numberReady": ready},
            "spec": {"template": {"spec": {"containers": [{"image": PLUGIN + ":v0.5.20"}]}}}}


def k8s(*items):
    return [("--k8s-json", {"kind": "List", "items": list(items)})]


def k8s_row(finding, severity, name, bad, good=None):
    row(finding, severity, name, P5, P5, files=bad, good_files=good or k8s(node(), pod(), plugin(), daemon_set(2)))


got, status, done = check(P5, files=k8s(node(), pod(), plugin(), daemon_set(2)))
report(status == 0 and got.get("k8s-node") == "ok", "a healthy cluster", got)
k8s_row("k8s-node", "fail", "allocatable is missing", k8s(node(efas=None), plugin()))
k8s_row("k8s-extra", "fail", "ten EFAs on a B200", k8s(node(kind="p6-b200.48xlarge", efas="10"), plugin()),
        k8s(node(kind="p6-b200.48xlarge", efas="8"), plugin()))
k8s_row("k8s-extra", "fail", "a plugin that counts Mellanox", k8s(node(kind="p6-b200.48xlarge", efas="8"), plugin("v0.5.6")),
        k8s(node(kind="p6-b200.48xlarge", efas="8"), plugin("v0.5.10")))
k8s_row("k8s-plugin", "fail", "in a crash loop", k8s(node(), plugin(ready=False)))
k8s_row("k8s-plugin", "fail", "not there", k8s(node(efas="0"), pod()))
k8s_row("k8s-plugin", "fail", "a daemon set of which one pod is ready", k8s(node(), daemon_set(1)))
DRA = daemon_set(2)
DRA["spec"]["template"]["spec"]["containers"][0]["image"] = "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/aws-dranet:v1.0.0"


def slices(devices, name="n1"):
    return {"kind": "ResourceSlice", "spec": {"driver": "dra.net", "nodeName": name, "devices": [{"name": f"d{i}"} for i in range(devices)]}}


k8s_row("k8s-node", "fail", "a slice of DRA with a card missing", k8s(node(efas=None), DRA, slices(31)), k8s(node(efas=None), DRA, slices(32)))
k8s_row("k8s-node", "note", "by DRA, without its slices", k8s(node(efas=None), DRA), k8s(node(efas=None), DRA, slices(32)))
claims = pod(efas=None)
claims["spec"]["resourceClaims"] = [{"name": "efa", "resourceClaimTemplateName": "efa"}]
k8s_row("pod-no-efa", "warn", "GPUs without EFA, against a claim", k8s(node(), pod(efas=None), plugin()), k8s(node(), claims, plugin()))
k8s_row("k8s-hugepages", "warn", "5120Mi", k8s(node(pages="5120Mi"), plugin()))
k8s_row("pod-no-efa", "warn", "GPUs without EFA, against a pod that has ended", k8s(node(), pod(efas=None), plugin()),
        k8s(node(), pod(efas=None, phase="Succeeded"), pod(efas=None, phase="Failed"), plugin()))
k8s_row("pod-no-efa", "warn", "GPUs without EFA", k8s(node(), pod(efas=None), plugin()))
k8s_row("pod-no-efa", "warn", "the single GPU of a p5.4xlarge",
        k8s(node(kind="p5.4xlarge", efas="1", pages=None), pod(efas=None, gpus="1"), plugin()),
        k8s(node(kind="p5.4xlarge", efas="1", pages=None), pod(efas="1", gpus="1"), plugin()))
k8s_row("pod-equal", "fail", "request 4, limit 32", k8s(node(), pod(request="4"), plugin()))
k8s_row("pod-partial", "note", "eight GPUs, one EFA", k8s(node(), pod(efas="1"), plugin()))
k8s_row("pod-hostpath", "warn", "/dev/infiniband", k8s(node(), pod(volume="/dev/infiniband"), plugin()),
        k8s(node(), pod(volume="/dev/shm"), plugin()))
karpenter = {"karpenter.sh/nodepool": "gpu"}
k8s_row("pod-karpenter", "warn", "huge pages", k8s(node(labels=karpenter), pod(where=None, pages="5120Mi", phase="Pending"), plugin()),
        k8s(node(labels=karpenter), pod(where=None, phase="Pending"), plugin()))
k8s_row("pod-pending", "fail", "Insufficient EFA",
        k8s(node(), pod(where=None, phase="Pending", reason="0/64 nodes are available: 64 Insufficient vpc.amazonaws.com/efa."),
            plugin()))

# Inputs that are none
for name, option, content in (("no JSON", "--aws-json", "{"), ("JSON of something else", "--aws-json", {"x": 1}),
                              ("a list of something else", "--k8s-json", {"items": [1, None, {"kind": 3}]}),
                              ("a key twice", "--k8s-json", '{"items": [], "items": []}')):
    got, status, done = check(P4D, files=[(option, content)])
    report(got.get("input") == "fail" and status == 3, f"input: {name}", got, status)
done = run("--aws-json", "/nonexistent.json")
report(done.returncode == 3 and b"No such file" in done.stdout, "input: no such file", done.stdout)

# The command itself
for name, args, status, pattern in (
        ("no such argument", ["--frob"], 3, b"no such argument: --frob"),
        ("no such type", ["--expect", "p4d.24xlarg"], 3, b"did you mean p4d.24xlarge?"),
        ("no such finding", ["--explain", "memlok"], 3, b"did you mean memlock?"),
        ("--only of nothing", ["--only", "frob"], 3, b"no such finding: frob"),
        ("no such root", ["--root", "/nonexistent"], 3, b"/nonexistent: No such file"),
        ("a root that is none", ["--root", "/usr/share"], 3, b"not made by --capture"),
        ("no such process", ["--pid", "4194305"], 3, b"there is none"),
        ("two places", ["--root", "/", "--pid", "1"], 3, b"exclude each other"),
        ("no such suite", ["--suite", "slow"], 3, b"quick or full")):
    done = run(*args)
    report(done.returncode == status and pattern in done.stderr and not done.stdout and done.stderr.count(b"\n") == 1, name,
           done.stderr)
done = run("--explain", "memlock")
report(done.returncode == 0 and b"ulimit -l unlimited" in done.stdout, "--explain", done.stdout)
done = run("--list")
report(done.returncode == 0 and done.stdout.count(b"\n") > 60, "--list", done.stdout)
got, status, done = check(m.machine("p5en.48xlarge", cards=15), ["--skip", "card-count"])
report(status == 0 and "card-count" not in got, "--skip", got)
got, status, done = check(env("NCCL_PROTO=simple\n", m.machine("p5en.48xlarge", cards=15)), ["--only", "env"])
report(status == 1 and set(got) <= {i for i in got if i.startswith("env-")}, "--only", got)

# weft info on the same machines


def info(tree, *args):
    done = subprocess.run([WEFT, "info", "--root", place_of(tree), *args], capture_output=True, check=False, env=ENV)
    return done.stdout.decode(), done.returncode


text, status = info(P4D)
report(status == 0 and text.count("\n") == 5 and text.count(" efa ") == 4 and "v1/0xefa0  read" in text, "info: real cards", text)
text, status = info(m.machine("p5.48xlarge", efa_only=True), "--json")
cards = json.loads(text)["cards"]
report([c["kind"] for c in cards] == ["efa"] + ["efa-only"] * 31 and cards[0]["caps"] == ["read", "write"], "info --json: kinds", text)
text, status = info(no_driver)
report("(no driver)" in text, "info: a card without a driver", text)
text, status = info(mellanox)
report(text.count("\n") == 9 and "ibp" not in text, "info: other vendors' cards are none", text)
text, status = info(P5EN)
report(" 200 " in text and " 100 " not in text, "info: speed", text)
text, status = info(P4D, "--topo")
report(status == 0 and "GPU0   X     SYS   NODE" in text and "EFA0   PHB" in text, "info --topo", text)
topo = json.loads(info(P4D, "--topo", "--json")[0])["devices"]
report(len(topo) == 12 and all(len(d["distances"]) == 12 for d in topo)
       and all(topo[i]["distances"][k] == topo[k]["distances"][i] for i in range(12) for k in range(12)),
       "info --topo --json: a symmetric matrix", topo)
text, status = info(P5, "--stack")
report("/opt/amazon/efa/lib64/libfabric.so.1.26.0" in text and "aws-ofi-nccl   1.13.2" in text and "2.15.3g" in text, "info --stack", text)
stack = json.loads(info(P5, "--stack", "--json")[0])
report([r["layer"] for r in stack["stack"] if r["path"]] == ["MPI", "NCCL", "aws-ofi-nccl", "libfabric", "libefa", "libibverbs"]
       and {r["layer"]: r["abi"] for r in stack["stack"]}["libibverbs"] == "IBVERBS_1.14" and stack["cards"] == 32, "info --stack --json", stack)
text, status = info(P4D, "--fi")
report(text.count("provider: efa\n") == 4 and "    domain: rdmap16s27-rdm\n    version: 122.0\n" in text, "info --fi: a block for each card", text)
report(len(json.loads(info(no_driver, "--fi", "--json")[0])) == 3, "info --fi: no card without a driver")
for args in (["--pid", "1"], ["--topo", "--pid", "1"], ["--counters", "--root", "/"], ["--stack", "--pid", "x"]):
    done = subprocess.run([WEFT, "info", *args], capture_output=True, check=False, env=ENV)
    report(done.returncode == 2 and done.stderr.count(b"\n") == 1, "info " + " ".join(args), done.stderr)
done = subprocess.run([WEFT, "info", "--stack", "--pid", str(os.getpid())], capture_output=True, check=False, env=ENV)
report(done.returncode == 0 and b"libfabric      -" in done.stdout, "info --stack --pid: a process without libfabric", done.stdout)

# This very machine, whatever it is, and a copy of it
done = run()
report(done.returncode in (0, 1, 2) and b" failed, " in done.stdout, "here", done.stdout, done.stderr)
done = run("--pid", str(os.getpid()), "--json")
report(done.returncode in (0, 1, 2) and json.loads(done.stdout)["findings"], "--pid", done.stdout, done.stderr)
done = run("--suite", "full")
report(done.returncode in (0, 1, 2), "--suite full", done.stdout, done.stderr)
library = subprocess.run(["nm", "-D", os.path.join(os.path.dirname(WEFT), "libweft-preload.so")], capture_output=True, check=False)
if b"__asan_init" in library.stdout or b"__tsan_init" in library.stdout:
    print("# --self: a library with a sanitizer cannot be preloaded")
else:
    cards = {"WEFT_ADDR": "127.0.0.1", "WEFT_CARDS": "2", "WEFT_RUN_DIR": TOP.name + "/run", "WEFT_PORT_BASE": "21000"}
    done = run("--self", "--json", "--only", "self", env=cards)
    said = json.loads(done.stdout or "{}").get("findings", [])
    report(done.returncode == 0 and len(said) == 2 and all("of 64 and 8192 bytes to itself" in one["evidence"] for one in said),
           "--self: over weft's cards", done.stdout, done.stderr)
    done = run("--self", "--json", "--only", "self", env={**cards, "WEFT_LOSS": "99%", "WEFT_CARDS": "1"})
    said = json.loads(done.stdout or "{}").get("findings", [])
    report(done.returncode == 2 and [one["id"] for one in said] == ["self"] and "of 8 messages" in said[0]["evidence"],
           "--self: a card that loses nearly everything", done.stdout, done.stderr)
    # Somebody else at that port, who says nothing of use.
    for name, words in (("nothing", b""), ("noise", os.urandom(5000)), ("half a line", b"weft-check 1 00"),
                        ("wrong numbers", b"weft-check 1 " + b"f" * 32 + b" 99999999999999999999 -1 x\n")):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def answer(what=words, at=server):
                with at.accept()[0] as peer:
                    peer.sendall(what)
                    peer.recv(100)
            thread = threading.Thread(target=answer)
            thread.start()
            done = run("--peer", "127.0.0.1", "--port", str(server.getsockname()[1]), "--json", "--only", "peer", env=cards)
            thread.join()
        said = [one["id"] for one in json.loads(done.stdout or "{}").get("findings", [])]
        report(done.returncode == 2 and said in (["peer-no-listener"], ["peer-no-route"]), f"--peer: {name} from the other side", done.stdout,
               done.stderr)
for args in (["--self", "--root", "/"], ["--peer", "x", "--listen"], ["--listen", "--port", "70000"]):
    done = run(*args)
    report(done.returncode == 3 and done.stderr.count(b"\n") == 1, " ".join(args), done.stderr)
with open("/dev/full", "wb") as full:
    done = subprocess.run([WEFT, "check"], stdout=full, stderr=subprocess.PIPE, check=False)
    report(done.returncode == 3 and b"cannot write" in done.stderr, "a full disk under the output", done.stderr)
with tempfile.TemporaryDirectory() as top:
    shutil.copy(WEFT, top + "/weft")
    done = subprocess.run([top + "/weft", "check", "--self"], capture_output=True, check=False)
    report(done.returncode == 3 and b"there is no libweft-preload.so" in done.stderr, "--self without the library", done.stderr)
with tempfile.TemporaryDirectory() as top:
    secret = {"NCCL_SECRET_KEY": "hidden", "nccl_api_token": "hidden", "AWS_SECRET_ACCESS_KEY": "hidden", "NCCL_DEBUG": "INFO"}
    first = run("--capture", top + "/copy", "--json", env=secret)
    second = run("--root", top + "/copy", "--json")
    kept = subprocess.run(["grep", "-r", "hidden", top + "/copy"], capture_output=True, check=False)
    ids = [[(f["id"], f["severity"], f["evidence"]) for f in json.loads(x.stdout)["findings"]] for x in (first, second)]
    report(first.returncode == second.returncode and ids[0] == ids[1], "--capture finds the same again", first.stdout,
           second.stdout, first.stderr, second.stderr)
    report(kept.returncode == 1, "--capture keeps no secrets", kept.stdout)
    done = run("--capture", top + "/copy")
    report(done.returncode == 3 and b"not empty" in done.stderr, "--capture into a folder with something in it", done.stderr)
    m.write(m.software(), top + "/image")
    done = run("--rootfs", top + "/image", "--json")
    report(done.returncode == 0 and json.loads(done.stdout)["node"] is None, "--rootfs", done.stdout, done.stderr)
    done = run("--rootfs", top + "/copy", "--json", "--only", "lib-none")
    report(done.returncode in (0, 1), "--rootfs without software", done.stdout, done.stderr)
    # Each row of the one chain leads through all of the other, whose rows are weak.
    rows = 4096
    chains = b"".join(m.struct.pack("<HHIII", 1, 65535, 1, 16 * (rows - i), 16) for i in range(rows))
    chains += b"".join(m.struct.pack("<IHHII", 0, 2, 2, 1, 16) for _ in range(66000))
    library = m.elf("libfabric.so.1", needs={"libefa.so.1": ["EFA_1.2"]})
    at = library.index(m.struct.pack("<q", 0x6FFFFFFE))
    library = bytearray(library)
    library[at + 8:at + 32] = m.struct.pack("<QqQ", len(library), 0x6FFFFFFF, rows)
    library[64 + 32:64 + 48] = m.struct.pack("<QQ", len(library) + len(chains), len(library) + len(chains))
    m.write({"usr/lib/libfabric.so.1": bytes(library) + chains}, top + "/hostile")
    began = time.monotonic()
    done = run("--rootfs", top + "/hostile", "--json")
    report(done.returncode == 2 and time.monotonic() - began < 20, "--rootfs with chains that overlap", done.stdout, done.stderr)
    # Nothing outside of a root is read, whatever its links say.
    os.makedirs(top + "/evil/etc")
    os.makedirs(top + "/evil/proc")
    os.symlink("/../../../../../../" + top + "/outside", top + "/evil/etc/nccl.conf")
    with open(top + "/outside", "w", encoding="utf-8") as out:
        out.write("NCCL_NET=Socket\n")
    done = run("--root", top + "/evil", "--json")
    report(b"NCCL_NET" not in done.stdout, "links do not lead out of a root", done.stdout)
    os.makedirs(top + "/fifo/proc/self")
    os.mkfifo(top + "/fifo/proc/self/limits")
    done = run("--root", top + "/fifo", "--json")
    report(done.returncode in (0, 1, 2), "a FIFO stops nobody", done.stderr)

# Every finding of `weft check` has a row above, but for these: said of what is good; of rates, which a tree does not have (a unit
# test); and of the wire (the tests of e2e).
elsewhere = {"env-needed", "env-choice", "tcp-fallback", "input", "self", "peer"}
for line in run("--list").stdout.decode().splitlines():
    name = line.split()[1]
    if name in elsewhere or name.startswith("peer-") or name in tested:
        continue
    if "`weft check`" in run("--explain", name).stdout.decode().rsplit("Found by", 1)[1]:
        report(False, f"{name} has no row")

# Without any right
if os.getuid() == 0:
    os.chmod(TOP.name, 0o711)
    shutil.copy(WEFT, TOP.name + "/weft")
    began = time.monotonic()
    done = subprocess.run([TOP.name + "/weft", "check"], capture_output=True, check=False, env={"PATH": "/usr/bin"}, user=65534, group=65534, extra_groups=[],
                          cwd="/")
    seconds = time.monotonic() - began
    report(done.returncode in (0, 1, 2) and b" failed, " in done.stdout and seconds < 2, f"as nobody, in {seconds:.2f} s", done.stdout,
           done.stderr)

print(f"1..{count}")
sys.exit(1 if failed else 0)
