#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_top.py WEFT FIXTURES: `weft top` on trees of machines, on recordings, and with wrong arguments. TAP."""

import copy
import csv
import io
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, sys.argv[2])
import machine as m  # noqa: E402  pylint: disable=wrong-import-position

WEFT = sys.argv[1]
TOP = tempfile.TemporaryDirectory()
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "FI_", "NCCL_", "LD_"))}
ENV.update(WEFT_RUN_DIR=TOP.name + "/run", TZ="UTC")
count = 0
failed = 0


def report(good, name, *details):
    global count, failed
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        failed += 1
        for detail in details:
            for line in str(detail).splitlines()[:40]:
                print("#", line[:2000])


def top(*args, data=None, to=subprocess.PIPE, env=None):
    return subprocess.run([WEFT, "top", *args], stdout=to, stderr=subprocess.PIPE, env={**ENV, **(env or {})}, input=data,
                          check=False, timeout=60, text=True)


def objects(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def tree_of(tree):
    path = tempfile.mkdtemp(dir=TOP.name)
    m.write(tree, path)
    return path


# A node as a monitoring container sees it below /host: cards, one process on two of them, and one that uses none.

UID = "0a1b2c3d-1111-2222-3333-444455556666"
BOX = "f" * 64


def node():
    tree = m.machine("p5.48xlarge")
    m.rdma(tree, m.pci(tree, "0000:03:00.0", 0x15B3, 0x1021, 0x020700, 0, "0000:00"), "mlx5_0", 40, 400, "mlx5_core",
           {"tx_bytes": 1})
    card = "sys/devices/pci0000:10/0000:10:1b.0/infiniband/rdmap16s27"
    tree[f"{card}/ports/1/hw_counters/send_bytes"] = "9007199254740993\n"  # 2^53 + 1
    tree[f"{card}/ports/1/hw_counters/from_a_newer_driver"] = "7\n"
    tree[f"{card}/ports/1/hw_counters/Not-A-Name"] = "7\n"
    tree[f"{card}/ports/1/hw_counters/no_number"] = "seven\n"
    tree[f"{card}/ports/1/hw_counters/too_large"] = "99999999999999999999\n"
    tree[f"{card}/ports/1/hw_counters/lifespan"] = "10\n"
    tree[f"{card}/hw_counters/lifespan"] = "11\n"
    tree[f"{card}/hw_counters/create_qp_err"] = "3\n"
    tree["sys/class/net/ens32/statistics/rx_bytes"] = "1000\n"
    tree["sys/class/net/ens32/statistics/tx_bytes"] = "2000\n"
    tree["sys/class/net/ens32/speed"] = "100000\n"
    tree["proc/sys/kernel/hostname"] = "node-1\n"
    for pid, fds in ((4242, ["/dev/infiniband/uverbs0", "/dev/infiniband/uverbs5", "socket:[1]"]), (77, ["/dev/null"])):
        tree[f"proc/{pid}/stat"] = f"{pid} (py) thon) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 1234{pid} 1 1\n"
        for i, fd in enumerate(fds):
            tree[f"proc/{pid}/fd/{i}"] = m.Link(fd)
    tree["proc/4242/environ"] = "PATH=/bin\0HOSTNAME=wrong\0FI_PROVIDER=efa\0"
    tree["proc/4242/cgroup"] = (
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"
        f"{UID.replace('-', '_')}.slice/cri-containerd-{BOX}.scope\n")
    tree[f"var/log/pods/training_llm-worker-0_{UID}/x/0.log"] = ""
    return tree


def test_root():
    root = tree_of(node())
    done = top("--root", root, "--once", "--json", "-i", "50ms")
    report(done.returncode == 0, "a tree can be watched", done.stderr)
    sample = objects(done)[0]
    cards = {card["name"]: card for card in sample["cards"]}
    report(len(cards) == 32 and "mlx5_0" not in cards, "all 32 EFA cards, and nobody else's", sorted(cards))
    counters = cards["rdmap16s27"]["counters"]
    want = {"tx_bytes": 123456, "send_bytes": 9007199254740993, "from_a_newer_driver": 7, "lifespan": 10, "create_qp_err": 3}
    report(all(counters.get(k) == v for k, v in want.items()), "counters of both folders, exact, new ones too", counters)
    report(not {"Not-A-Name", "no_number", "too_large"} & set(counters), "what is no counter is left out", counters)
    report(cards["rdmap16s27"]["gbps"] == 100 and cards["rdmap16s27"]["state"] == "ACTIVE", "speed and state", cards["rdmap16s27"])
    report(sample["host"] == "node-1" and sample["network"][0]["tx_bytes"] == 2000 and sample["network"][0]["gbps"] == 100,
           "the ordinary network", sample["network"])
    procs = sample["processes"]
    report([p["pid"] for p in procs] == [4242] and procs[0]["comm"] == "py) thon" and procs[0]["why"] == "FI_PROVIDER names efa",
           "the program that has cards open, and no other", procs)
    names = [sample["cards"][i]["name"] for i in procs[0]["cards"]]
    report(len(names) == 2 and procs[0]["efa_tx_bytes"] == 2 * 123456 and not procs[0]["shared"], "its cards, and their bytes",
           names, procs)
    report((procs[0]["namespace"], procs[0]["pod"], procs[0]["pod_uid"], procs[0]["container"]) ==
           ("training", "llm-worker-0", UID, "f" * 12), "its pod", procs[0])
    for value, why in (("^tcp", "maps libnccl"), ("^efa", ""), ("tcp;efa", "FI_PROVIDER names efa"), ("tcp", "")):
        other = node()
        other["proc/4242/environ"] = f"HOME=/\0FI_PROVIDER={value}\0X=1\0"
        other["proc/4242/maps"] = "7f00-7f01 r-xp 0 00:00 1 /usr/lib/libnccl.so.2\n"
        got = objects(top("--root", tree_of(other), "--once", "--json", "-i", "50ms"))[0]["processes"]
        report([p["why"] for p in got] == [why], f"FI_PROVIDER={value}: {why or 'no wish for EFA'}", got)
    other = node()
    del other[f"var/log/pods/training_llm-worker-0_{UID}/x/0.log"]
    other["proc/4242/environ"] = "FI_PROVIDER=efa\0HOSTNAME=pod\x1b]0;x\x07\xc2\x9b2J\0"
    text = top("--root", tree_of(other), "--once", "-i", "50ms").stdout
    report("pod?]0;x?" in text and not set("\x1b\x07\x9b") & set(text), "a pod's name is no command for the terminal", text)
    both = objects(top("--root", root, "--once", "--json", "-i", "50ms", "--vendor", "all"))[0]
    one = objects(top("--root", root, "--once", "--json", "-i", "50ms", "--vendor", "0x15b3"))[0]
    report(len(both["cards"]) == 33 and [c["name"] for c in one["cards"]] == ["mlx5_0"], "--vendor", one["cards"])
    text = top("--root", root, "--once", "-i", "50ms").stdout
    report(text.count("\nrdmap") == 32 and "llm-worker-0" in text and "32 cards" in text, "as lines", text)


# A recording: rates that can be worked out by hand.

def recorded(seconds, tx, tcp, state="ACTIVE", why="maps libnccl", **counters):
    return {
        "time_ns": 1_700_000_000_000_000_000 + int(seconds * 1e9), "host": "h",
        "cards": [{"name": "rdmap16s27", "address": "", "kind": "efa", "gbps": 100, "state": state, "numa": -1,
                   "counters": {"tx_bytes": tx, "rx_bytes": 0, "tx_pkts": tx // 1000, "retrans_pkts": tx // 100000, **counters}}],
        "network": [{"name": "eth0", "gbps": 25, "rx_bytes": tcp, "tx_bytes": 0}],
        "processes": [{"pid": 9, "id": 1, "comm": "rank,0", "why": why, "cards": [0], "efa_tx_bytes": tx, "efa_rx_bytes": 0,
                       "tcp_tx_bytes": 0, "tcp_rx_bytes": tcp}],
    }


def recording(*samples):
    handle, path = tempfile.mkstemp(dir=TOP.name)
    with os.fdopen(handle, "w") as file:
        for sample in samples:
            file.write((sample if isinstance(sample, str) else json.dumps(sample)) + "\n")
    return path


def test_replay():
    fast = recording(recorded(0, 1000000, 0), recorded(2, 1000000 + 2 * 6250000000, 100, drops=5))
    one = objects(top("--replay", fast, "--json"))
    card = one[1]["cards"][0]
    report(len(one) == 2 and card["tx_bytes_per_s"] == 6.25e9 and card["line_percent"] == 50 and
           card["retrans_percent"] == 1 and one[0]["cards"][0]["tx_bytes_per_s"] is None, "rates of a recording", card)
    report(card["drops_per_s"] is None and card["rnr_per_s"] is None, "what a card does not count is null, not 0", card)
    again = top("--replay", "-", "--json", data=top("--replay", fast, "--json").stdout)
    report(objects(again) == one, "what --json prints can be replayed", again.stderr)
    rows = list(csv.DictReader(io.StringIO(top("--replay", fast, "--csv").stdout)))
    report(len(rows) == 2 and rows[1]["tx_bytes"] == "12501000000" and rows[1]["line_percent"] == "50" and rows[1]["rnr_tx"] == "",
           "--csv", rows)
    wrapped = recording(recorded(0, 5000, 0), recorded(1, 2000, 0))
    report(objects(top("--replay", wrapped, "--json"))[1]["cards"][0]["tx_bytes_per_s"] == 2000, "a counter that was reset")


def test_alarm():
    slow = recording(recorded(0, 0, 0), recorded(1, 1000, 500000000))
    done = top("--replay", slow, "--once")
    report(done.returncode == 1 and "! rank,0 (9): 4.00Gb/s over TCP, 8.00kb/s over EFA; should be on EFA (maps libnccl)" in done.stdout,
           "a program on the wrong network is an alarm, and exit 1", done.stdout)
    good = {
        "little TCP": recorded(1, 0, 5000000),
        "EFA carries the most": recorded(1, 600000000, 500000000),
        "nothing says it should be on EFA": recorded(1, 0, 500000000, why=""),
    }
    for name, sample in good.items():
        first = recorded(0, 0, 0, why=sample["processes"][0]["why"])
        done = top("--replay", recording(first, sample), "--once")
        report(done.returncode == 0 and "! " not in done.stdout, f"no alarm: {name}", done.stdout)
    quiet = recording(recorded(0, 0, 0), recorded(1, 0, 5000000))
    report(top("--replay", quiet, "--once", "--alarm", "8m").returncode == 1, "--alarm")
    down = top("--replay", recording(recorded(0, 0, 0), recorded(1, 0, 0, state="DOWN")), "--once")
    report("DOWN" in down.stdout, "a port that is down is seen", down.stdout)


def test_record():
    path = TOP.name + "/record"
    done = top("--record", path, "--json", "-n", "3", "-i", "50ms", "--instance", "p4d.24xlarge", "--addr", "127.0.0.2")
    with open(path, encoding="utf-8") as file:
        report(done.returncode == 0 and file.read() == done.stdout and len(objects(done)) == 3 and
               [c["name"] for c in objects(done)[0]["cards"]] == ["rdmap16s27", "rdmap32s27", "rdmap144s27", "rdmap160s27"],
               "--record writes what --json prints", done.stderr)


def test_wrong():
    for args, words in (
            (["--frob"], "no such argument"), (["--interval", "1"], "50ms"), (["--interval", "1ms"], "50ms"),
            (["--count", "0"], "number"), (["--sort", "x"], "name, line"), (["--vendor", "x"], "vendor"),
            (["--json", "--csv"], "not both"), (["--replay", "/nonexistent"], "No such file"), (["--interval"], "needs a value"),
            (["--root", "/nonexistent"], "No such file"), (["--record", "/nonexistent/x", "--once"], "No such file"),
            (["--record", "/dev/full", "--once"], "No space left"), (["--addr", "1.2.3.4", "--cards", "x"], "WEFT_CARDS"),
            (["--replay", recording("{")], "line 1"), (["--replay", recording(recorded(0, 0, 0), "[]")], "line 2"),
            (["--replay", "/dev/null", "--once"], "two samples"), (["--replay", recording(recorded(0, 0, 0)), "--once"], "two samples"),
            (["--replay", "x", "--record", "y"], "neither"), (["--alarm", "x"], "bits per second")):
        done = top(*args, to=subprocess.DEVNULL)
        lines = done.stderr.splitlines()
        report(done.returncode == 2 and len(lines) == 1 and words in lines[0], "refused: " + " ".join(args[:2])[:40],
               done.returncode, done.stderr)
    with open("/dev/full", "w", encoding="utf-8") as full:
        for args in (["--once", "-i", "50ms"], ["--json", "-i", "50ms"]):
            done = top(*args, to=full)
            report(done.returncode == 2 and len(done.stderr.splitlines()) == 1, "a full disk ends it: " + args[0], done.stderr)
    weird = copy.deepcopy(recorded(0, 0, 0))
    weird["cards"] = [{"name": "x\x1b[2J" + "y" * 500, "counters": {"tx_bytes": "7", "a": -1, "B!": 1}}, 5, None] * 300
    weird["processes"] = [{"comm": "\u00e4\x07", "cards": [0, 5000, -1, "x"]}] * 600
    done = top("--replay", recording(weird, weird))
    report(done.returncode == 0 and "\x1b" not in done.stdout and "\x07" not in done.stdout, "a recording by somebody else", done.stderr)


for test in (test_root, test_replay, test_alarm, test_record, test_wrong):
    test()
print(f"1..{count}")
sys.exit(1 if failed else 0)
