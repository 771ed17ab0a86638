#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""mutate_check.py WEFT FIXTURES [COUNT [SEED]]: `weft check` on machines and JSON that were damaged at random: bits turned,
files cut off, made huge, replaced by another one, by a folder, a FIFO or a loop of links. It has to end by itself, with one of
its own exit statuses, and with JSON that can be read. TAP; the seed of a failure replays it."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, sys.argv[2])
import machine as m  # noqa: E402  pylint: disable=wrong-import-position

WEFT = sys.argv[1]
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 300
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1
HUGE = b"A" * 300000
PIECES = [b"", b"\0", b"\n", b"-1", b"0x", b"18446744073709551616", b"%s%n", b"\xff\xfe", b"../" * 900, b"unlimited", b"0-4294967295",
          b"efa", b"NCCL_NET=", b"name: FI_PROVIDER\n", HUGE]
AWS = {"Reservations": [{"Instances": [
    {"InstanceId": "i-1", "InstanceType": "p4d.24xlarge", "VpcId": "v", "Placement": {"AvailabilityZone": "a", "GroupName": "g"},
     "NetworkInterfaces": [{"InterfaceType": "efa", "Groups": [{"GroupId": "sg"}], "Attachment": {"NetworkCardIndex": i, "DeviceIndex": 1}}
                           for i in range(4)]}] * 2}],
       "SecurityGroups": [{"GroupId": "sg", "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg"}]}],
                           "IpPermissionsEgress": []}],
       "LaunchTemplateVersions": [{"LaunchTemplateData": {"InstanceType": "p5.48xlarge", "NetworkInterfaces": [{"InterfaceType": "efa"}]}}]}
K8S = {"items": [
    {"kind": "Node", "metadata": {"name": "n", "labels": {"node.kubernetes.io/instance-type": "p5.48xlarge"}},
     "status": {"allocatable": {"vpc.amazonaws.com/efa": "32", "hugepages-2Mi": "5120Mi"}}},
    {"kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": [{"reason": "Unschedulable", "message": "x"}]},
     "spec": {"nodeName": "n", "volumes": [{"hostPath": {"path": "/dev/infiniband"}}], "containers": [
         {"image": "aws-efa-k8s-device-plugin:v0.5.6", "resources": {"limits": {"nvidia.com/gpu": 8}, "requests": {"vpc.amazonaws.com/efa": 4}}}]}},
    {"kind": "DaemonSet", "spec": {"template": {"spec": {"containers": [{"image": "efa-dra:1"}]}}}, "status": {"numberReady": 0}}]}


def damage(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        what = rng.randrange(5)
        at = rng.randrange(len(data) + 1)
        if what == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif what == 1:
            del data[at:]
        elif what == 2:
            data[at:at] = rng.choice(PIECES)
        elif what == 3 and data:
            end = min(len(data), at + rng.choice((1, 2, 4, 8)))
            data[at:end] = bytes(rng.choice((0, 0xFF, 0x7F, 0x80)) for _ in range(end - at))
        else:
            data[at:at + rng.randint(0, 64)] = b""
    return bytes(data)


def damage_json(rng, value, depth=0):
    """Other types in the places of some values."""
    if rng.random() < 0.08:
        return rng.choice([None, True, -1, 10 ** 400, 1.5, "", "-1", "9" * 30, [], {}, [[]], {"a": None}, "\u0000", "x" * 5000])
    if isinstance(value, dict):
        return {key: damage_json(rng, one, depth + 1) for key, one in value.items() if rng.random() > 0.03}
    if isinstance(value, list):
        return [damage_json(rng, one, depth + 1) for one in value] * (1 if rng.random() > 0.05 else 30)
    return value


def json_text(rng, value):
    if rng.random() < 0.1:
        return b"[" * rng.choice((10, 3000, 100000))
    text = json.dumps(damage_json(rng, value)).encode()
    return damage(rng, text) if rng.random() < 0.3 else text


def damage_place(rng, path, others):
    """One file, or what stands in its place."""
    what = rng.randrange(10)
    old = None if os.path.islink(path) else open(path, "rb").read()
    os.unlink(path)
    if what == 0:
        return
    if what == 1:
        os.symlink(rng.choice([path, "/", "..", "/proc/self/mem", os.path.basename(path), "x/" * 500]), path)
    elif what == 2:
        os.mkdir(path)
    elif what == 3:
        os.mkfifo(path)
    else:
        with open(path, "wb") as out:
            if what == 4:
                with open(rng.choice(others), "rb") as other:
                    out.write(other.read())
            else:
                out.write(damage(rng, old or b""))


def files_of(root):
    return [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]


def one(rng, top, trees):
    root = top + "/root"
    shutil.copytree(rng.choice(trees), root, symlinks=True)
    files = sorted(files_of(root))
    regular = [f for f in files if not os.path.islink(f)]
    for path in rng.sample(files, rng.randint(1, 6)):
        damage_place(rng, path, [f for f in regular if os.path.isfile(f) and not os.path.islink(f)])
    args = [WEFT, "check", "--json", rng.choice(["--root", "--root", "--rootfs"]), root]
    for option, value in (("--aws-json", AWS), ("--k8s-json", K8S)):
        if rng.random() < 0.4:
            with open(top + option, "wb") as out:
                out.write(json_text(rng, value))
            args += [option, top + option]
    if rng.random() < 0.3:
        with open(top + "/env", "wb") as out:
            out.write(damage(rng, b"export FI_PROVIDER=efa\n- name: NCCL_DEBUG\n  value: \"x\"\nmpirun --mca btl tcp -x UCX_TLS='a b'\n" * 3))
        args += ["--env-file", top + "/env"]
    try:
        done = subprocess.run(args, capture_output=True, check=False, timeout=20, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "it did not end"
    if done.returncode not in (0, 1, 2, 3):
        return f"exit {done.returncode}: {done.stderr[-3000:].decode(errors='replace')}"
    if done.stdout:
        try:
            json.loads(done.stdout)
        except ValueError as error:
            return f"not JSON: {error}"
    elif not done.stderr:
        return "said nothing"
    return None


def main():
    bad = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as top:
        trees = []
        for i, name in enumerate(("p4d.24xlarge", "hpc7a.96xlarge", "g5.48xlarge")):
            m.write({**m.machine(name), "etc/nccl.conf": "NCCL_DEBUG=INFO\n"}, f"{top}/{i}")
            trees.append(f"{top}/{i}")
        for seed in range(SEED, SEED + COUNT):
            work = f"{top}/work"
            os.mkdir(work)
            why = one(random.Random(seed), work, trees)
            shutil.rmtree(work)
            if why:
                bad += 1
                print(f"# seed {seed}: {why}"[:4000].replace("\n", "\n# "))
                if bad > 5:
                    break
    print(f"{'not ok' if bad else 'ok'} 1 - {COUNT} damaged machines from seed {SEED}\n1..1")
    return 1 if bad else 0


sys.exit(main())
