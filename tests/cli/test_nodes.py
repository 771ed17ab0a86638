#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_nodes.py WEFT FIXTURES: `weft nodes` and `weft info --k8s`, from files, from a kubectl of our own that hangs, fails and
lies, from the real one where it is installed, and on a terminal (tmux). TAP."""

import csv
import http.server
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, sys.argv[2])
import cluster as c  # noqa: E402  pylint: disable=wrong-import-position

WEFT = os.path.abspath(sys.argv[1])
TOP = tempfile.TemporaryDirectory()
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "KUBE"))}
ENV.update(LC_ALL="C.UTF-8", TERM="xterm", HOME=TOP.name, KUBECONFIG="/dev/null")
PRICES = ("--price", "c5.2xlarge=0.34", "--price", "p4de.24xlarge=40.9657")
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


def skip(name, why):
    global count
    count += 1
    print(f"ok {count} - {name} # SKIP {why}", flush=True)


def weft(*args, data=None, env=None, to=subprocess.PIPE):
    return subprocess.run([WEFT, *args], stdout=to, stderr=subprocess.PIPE, env={**ENV, **(env or {})}, input=data, check=False,
                          timeout=60, text=True)


def nodes(*args, **more):
    return weft("nodes", *args, **more)


def save(name, what):
    path = f"{TOP.name}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(what if isinstance(what, str) else json.dumps(what, indent=4))
    return path


NODES, PODS = c.seen_by_viewer()
SMALL = save("small.json", c.listed(*NODES, *PODS))


def read(*objects, args=()):
    done = nodes("--json", "--k8s-json", "-", *args, data=json.dumps(c.listed(*objects)))
    return json.loads(done.stdout)


# Files

def test_text():
    done = nodes("--k8s-json", SMALL, *PRICES)
    lines = done.stdout.splitlines()
    bar = "█" * 13 + "░" * 27
    report(done.returncode == 0 and not done.stderr, "lines, and no error", done.stderr)
    report(lines[0] == f"3 nodes (64480m/199290m)   32.4% cpu {bar} $82.271/hour | $60058.122/month", "the first line", lines[0])
    report(re.fullmatch(r" {8}\(2/4, 8 expected\) +50\.0% efa █{20}░{20}", lines[2]), "EFA, and what is expected", lines[2])
    report(lines[3] == "10 pods (1 pending 9 running 9 bound), waiting for 4 efa", "pods; those that have ended do not count", lines[3])
    rows = {line.split()[0]: line for line in lines if line.startswith("ip-")}
    good = rows["ip-192-168-165-37.us-west-2.compute.internal"]
    report(re.search(r"███████░░░  67%  ██████████ 8/8  █████░░░░░ +2/4/4 +3  p4de.24xlarge  \$40.9657  on-demand  Ready   ready$", good),
           "a row", good)
    bad = rows["ip-192-168-164-33.us-west-2.compute.internal"]
    report(" 0/0/4! " in bad and bad.endswith("none"), "a node without the plugin is marked", bad)
    report("! 1 node: no EFA device plugin: ip-192-168-164-33\n" in done.stdout and
           "  fix  Install or repair the device plugin" in done.stdout, "what is wrong, and the remedy", done.stdout)
    report("! pod default/nccl-1: 0/3 nodes are available: 3 Insufficient" in done.stdout, "a pod that finds no place", done.stdout)
    ascii_ = nodes("--k8s-json", SMALL, env={"LC_ALL": "C"}).stdout
    report(ascii_.isascii() and "#####....." in ascii_ and "$" not in ascii_, "bars without UTF-8; no price unless given", ascii_)


def test_json():
    root = json.loads(nodes("--k8s-json", SMALL, "--json", *PRICES).stdout)
    s = root["summary"]
    report((s["nodes"], s["ready"], s["troubled"], s["short"]) == (3, 3, 1, 1), "sums", s)
    report(s["price_per_hour"] == 82.2714 and abs(s["price_per_month"] - 60058.122) < 1e-6, "prices", s)
    report(s["resources"]["cpu"] == {"requested": 64.48, "allocatable": 199.29} and
           s["resources"][c.EFA] == {"requested": 2, "allocatable": 4, "expected": 8}, "resources", s)
    by = {n["name"][:14]: n for n in root["nodes"]}
    report(by["ip-192-168-164"]["trouble"] == "plugin-absent" and by["ip-192-168-164"]["finding"] == "k8s-node" and
           root["troubles"][0]["fix"].startswith("Install"), "trouble", root["troubles"])
    c5 = by["ip-192-168-120"]
    report(c5["resources"][c.EFA] == {"requested": 0, "allocatable": None, "expected": None} and c5["instance"] is None,
           "what a node does not offer is null", c5)
    some = json.loads(nodes("--k8s-json", SMALL, "--json", *PRICES[:2]).stdout)["summary"]
    report(some["unpriced"] == 2 and some["price_per_hour"] is None, "a sum with unknown prices is none", some)
    table = list(csv.DictReader(io.StringIO(nodes("--k8s-json", SMALL, "--csv").stdout)))
    report(len(table) == 3 and table[2]["cpu_requested"] == "64.06" and table[1]["vpc.amazonaws.com/efa_expected"] == "4" and
           table[1]["trouble"] == "plugin-absent", "--csv", table)
    types = json.loads(nodes("--k8s-json", SMALL, "--json", "--by-type").stdout)["types"]
    report([(t["type"], t["nodes"], t["troubled"]) for t in types] == [("c5.2xlarge", 1, 0), ("p4de.24xlarge", 2, 1)], "--by-type", types)
    more = json.loads(nodes("--k8s-json", SMALL, "--json", "--resources", "memory,cpu," + c.GPU).stdout)["nodes"][1]["resources"]
    report(list(more) == ["memory", "cpu", c.GPU] and more["memory"]["allocatable"] == 1146004920 * 1024, "--resources", more)


def test_kinds():
    """Labels and states of the ways of making a cluster."""
    got = read(
        c.node("hyperpod-i-055aeff9546187dee", "ml.g5.8xlarge", gpus=1, efas=1),
        c.node("karpenter", "p5.48xlarge", gpus=8, efas=32, labels={"karpenter.sh/capacity-type": "spot"}), c.plugin("karpenter"),
        c.node("block", "p5en.48xlarge", gpus=8, efas=16, labels={"eks.amazonaws.com/capacityType": "CAPACITY_BLOCK"}),
        c.node("trn", "trn1.32xlarge", efas=8, **{"aws.amazon.com/neuron": "16"}), c.pod("t", "trn", **{"aws.amazon.com/neuron": 4}),
        c.node("down", "m5.large", efas=None, ready="Unknown"), c.node("off", "m5.large", efas=None, cordoned=True),
        c.node("not", "m5.large", efas=None, ready="False"), c.node("crash", "p5.48xlarge", gpus=8, efas=0),
        c.plugin("crash", ready=False, waiting="CrashLoopBackOff"), c.node("few", "p5.48xlarge", gpus=8, efas=31), c.plugin("few"))
    by = {n["name"]: n for n in got["nodes"]}
    pod = by["hyperpod-i-055aeff9546187dee"]
    report(pod["type"] == "ml.g5.8xlarge" and pod["instance"] == "g5.8xlarge" and pod["resources"][c.EFA]["expected"] == 1,
           "HyperPod's ml. types", pod)
    report([by[n]["capacity_type"] for n in ("karpenter", "block", "down")] == ["spot", "reserved", None], "capacity types", by)
    report(by["trn"]["resources"]["gpu"] == {"requested": 4, "allocatable": 16}, "Neuron devices are accelerators", by["trn"])
    report([by[n]["status"] for n in ("down", "off", "not", "few")] == ["Unknown", "Cordoned", "NotReady", "Ready"], "states", by)
    report((by["crash"]["trouble"], by["crash"]["plugin"], by["crash"]["plugin_reason"]) ==
           ("plugin-crashing", "crash-loop", "CrashLoopBackOff"), "a plugin that crashes", by["crash"])
    report((by["few"]["trouble"], by["few"]["finding"]) == ("efa-fewer", "card-count"), "an EFA is missing", by["few"])


def test_requests():
    sidecar = c.pod("s", "a", cpu="1")
    sidecar["spec"]["initContainers"] = [
        {"name": "w", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
        {"name": "i", "resources": {"requests": {"cpu": "1"}}}]
    sidecar["spec"]["overhead"] = {"cpu": "250m"}
    got = read(c.node("a", "p5.48xlarge", efas=32), sidecar, c.pod("x", "a", phase="Failed", cpu="7"), sidecar)
    report(got["summary"]["resources"]["cpu"]["requested"] == 1.75 and got["summary"]["pods"]["total"] == 1,
           "init containers, sidecars, overhead; a pod that is there twice", got["summary"])
    got = read(c.node("a", "p5.48xlarge", efas=0), c.pod("x", "a", namespace="team", cpu="1"), c.pod("y", "a", cpu="1"),
               c.plugin("a"), args=("--namespace", "team"))
    report(got["summary"]["pods"]["total"] == 1 and got["nodes"][0]["trouble"] == "efa-zero",
           "--namespace: pods of others count only as plugins", got)
    got = read(c.node("a", "p5.48xlarge", efas=0), args=("--no-pods",))
    report(got["summary"]["pods"] is None and got["nodes"][0]["plugin"] == "?" and got["nodes"][0]["trouble"] == "efa-zero" and
           got["nodes"][0]["resources"]["cpu"]["requested"] is None, "without pods nothing is said of them", got)
    raw = {"kind": "NodeList", "items": [{k: v for k, v in c.node("a", "p5.48xlarge", efas=32).items() if k != "kind"}]}
    got = json.loads(nodes("--json", "--k8s-json", "-", data=json.dumps(raw) + json.dumps(c.pod("x", "a", efas=4))).stdout)
    report(got["nodes"][0]["resources"][c.EFA]["requested"] == 4, "items without a kind; documents after each other", got)


def test_view():
    def names(*args):
        return [n["name"].split("-")[3].split(".")[0] for n in json.loads(nodes("--json", "--k8s-json", SMALL, *args).stdout)["nodes"]]
    report(names() == ["120", "164", "165"], "by name")
    report(names("--sort", "efa") == ["165", "120", "164"], "--sort efa", names("--sort", "efa"))
    report(names("--sort", "status")[0] == "164", "--sort status")
    report(names("--sort", "pods")[0] == "120", "--sort pods")
    report(names("--sort", "price", *PRICES)[2] == "120", "--sort price")
    report(names("--filter", "P4DE") == ["164", "165"] and names("--filter", "absent") == ["164"], "--filter")
    report(names("--trouble") == ["164"], "--trouble")
    report("no node here that was asked for" in nodes("--k8s-json", SMALL, "--filter", "xyz").stdout, "nothing left")


def test_check():
    good = save("good.json", c.listed(c.node("a", "p4d.24xlarge", efas=4)))
    for command in (("nodes",), ("info", "--k8s")):
        for flag in ("--check", "--strict"):
            report(weft(*command, flag, "--k8s-json", SMALL).returncode == 1 and
                   weft(*command, flag, "--k8s-json", good).returncode == 0 and
                   weft(*command, "--k8s-json", SMALL).returncode == 0, f"weft {' '.join(command)} {flag} is a gate")


def test_info():
    three = [c.node(n, "ml.g5.8xlarge", gpus=1, efas=1) for n in ("hyperpod-i-055aeff9546187dee", "hyperpod-i-09662f64f615c96f5")]
    path = save("hyper.json", c.listed(*three))
    want = ("NAME                           INSTANCETYPE    GPU   EFA   EXPECTED\n"
            "hyperpod-i-055aeff9546187dee   ml.g5.8xlarge   1     1     1\n"
            "hyperpod-i-09662f64f615c96f5   ml.g5.8xlarge   1     1     1\n")
    done = weft("info", "--k8s", "--k8s-json", path)
    report(done.stdout == want and done.returncode == 0, "the table of the guides, and EXPECTED", done.stdout, done.stderr)
    root = json.loads(weft("info", "--k8s", "--json", "--k8s-json", SMALL).stdout)["nodes"]
    report(root[0] == {"name": NODES[0]["metadata"]["name"], "instance_type": "c5.2xlarge", "gpu": None, "efa": None, "expected": None}
           and root[1]["efa"] == 0 and root[1]["expected"] == 4, "--json", root)


# Wrong

def test_wrong():
    for args, words in (
            (["--frob"], "no such argument"), (["x"], "no such argument"), (["--interval", "5"], "100ms"), (["--sort", "x"], "name, type"),
            (["--json", "--csv"], "not both"), (["--resources", "a,,b"], "names"), (["--resources", "a;b"], "names"),
            (["--resources", ""], "names"), (["--resources", "a,b,c,d,e,f,g,h,i,j"], "up to 9"), (["--price", "x"], "TYPE"),
            (["--prices", "/nonexistent"], "No such file"), (["--timeout", "0"], "a time"), (["--context"], "needs a value"),
            (["--filter", "x" * 64], "63"), (["--k8s-json", "/nonexistent"], "No such file"), (["--k8s-json", "/dev/null"], "no node in it"),
            (["--k8s-json", "/"], "directory"), (["--k8s-json", SMALL, "--context", "x"], "goes without"),
            (["--k8s-json", "-", "-"], "once"), (["--no-pods", "--namespace", "x"], "not both"),
            (["--k8s-json", save("cut.json", open(SMALL, encoding="utf-8").read()[:5000])], "ends in the middle"),
            (["--k8s-json", save("yaml", "apiVersion: v1\n")], "line 1: this is neither"),
            (["--k8s-json", save("twice.json", '{"kind": "Node", "kind": "Pod"}')], "duplicate")):
        done = nodes("--once", *args)
        report(done.returncode == 2 and len(done.stderr.splitlines()) == 1 and words in done.stderr and not done.stdout,
               "refused: " + " ".join(args)[:40], done.returncode, done.stderr)
    done = weft("info", "--k8s", "--topo")
    report(done.returncode == 2 and "--k8s: no such argument: --topo" in done.stderr, "weft info --k8s takes no other view", done.stderr)
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = nodes("--k8s-json", SMALL, to=full)
        report(done.returncode == 2 and "cannot write" in done.stderr, "a full disk", done.stderr)
    odd = c.node("\x1b]0;x\x07\u00e4" + "n" * 400, "type,\"\x9b", efas=32)
    odd["metadata"]["labels"]["topology.kubernetes.io/zone"] = ["x"]
    odd["status"]["allocatable"] = {"cpu": "9" * 30, c.EFA: -3, c.GPU: {}}
    path = save("odd.json", c.listed(odd, {"kind": "Pod", "spec": 3}, {"kind": "Node", "metadata": 7, "status": []}))
    for args in ((), ("--json",), ("--csv",), ("--by-type", "--csv"), ("--by-type",)):
        done = nodes("--k8s-json", path, *args)
        report(done.returncode == 0 and not set("\x1b\x07\x9b\u00e4") & set(done.stdout), "names that are commands for a terminal",
               done.stdout, done.stderr)


# kubectl

FAKE = TOP.name + "/bin"
SCRIPT = """#!/bin/sh
printf '%s\\n' "$*" >>"$FAKE/log"
what=nodes
for a; do [ "$a" != pods ] || what=pods; done
case "$FAKE_MODE:$what" in
hang:*) echo $$ >"$FAKE/pid.$what"; sleep 100 & echo $! >>"$FAKE/pid.$what"; wait ;;
hold:*) echo $$ >"$FAKE/pid.$what"; exec sleep 100 ;;
hang-pods:pods) exec sleep 100 ;;
slow:*) sleep 0.3; cat "$FAKE/$what.json" ;;
forbidden:pods) echo 'Error from server (Forbidden): pods is forbidden: User "u" cannot list resource "pods"' >&2; exit 1 ;;
refused:*) echo 'E1130 memcache.go:265] noise' >&2
	echo 'The connection to the server localhost:8080 was refused - did you specify the right host or port?' >&2; exit 1 ;;
silent:*) exit 3 ;;
killed:*) kill -9 $$ ;;
html:*) echo '<html>log in</html>' ;;
cut:*) head -c 3000 "$FAKE/$what.json" ;;
flood:*) yes 'E noise' | head -c 3000000 >&2; cat "$FAKE/$what.json" ;;
*) cat "$FAKE/$what.json" ;;
esac
"""


def make_kubectl():
    os.mkdir(FAKE)
    with open(FAKE + "/kubectl", "w", encoding="utf-8") as file:
        file.write(SCRIPT)
    os.chmod(FAKE + "/kubectl", 0o755)
    save("bin/nodes.json", c.listed(*NODES))
    save("bin/pods.json", c.listed(*PODS))


def fake(mode=""):
    return {"PATH": FAKE + ":" + ENV["PATH"], "FAKE": FAKE, "FAKE_MODE": mode}


def log():
    with open(FAKE + "/log", encoding="utf-8") as file:
        lines = sorted(file.read().splitlines())
    os.unlink(FAKE + "/log")
    return lines


def test_kubectl():
    done = nodes("--once", *PRICES, env=fake())
    report(done.returncode == 0 and done.stdout == nodes("--k8s-json", SMALL, *PRICES).stdout, "kubectl says what the file says",
           done.stdout, done.stderr)
    ended = "--field-selector status.phase!=Succeeded,status.phase!=Failed"
    report(log() == ["get nodes -o json", f"get pods -o json --all-namespaces {ended}"], "what it was asked")
    nodes("--json", "--context", "c", "--kubeconfig", "k", "-l", "a=b", "-n", "team", env=fake())
    report(log() == ["--kubeconfig k --context c get nodes -o json -l a=b",
                     f"--kubeconfig k --context c get pods -o json --namespace team {ended}"], "options go to kubectl")
    done = weft("info", "--k8s", env=fake())
    report(done.returncode == 0 and "p4de.24xlarge   8        4        4" in done.stdout and log() == ["get nodes -o json"],
           "weft info --k8s asks for nodes alone", done.stdout)
    done = nodes("--json", "--no-pods", env=fake("forbidden"))
    report(done.returncode == 0 and json.loads(done.stdout)["summary"]["pods"] is None, "--no-pods does without", done.stderr)
    done = nodes("--json", env=fake("flood"))
    report(done.returncode == 0 and json.loads(done.stdout)["summary"]["nodes"] == 3, "megabytes of warnings", done.stderr)
    for mode, args, words in (
            ("forbidden", (), ("kubectl get pods: ", "pods is forbidden", "--namespace", "--no-pods")),
            ("refused", (), ("was refused", "KUBECONFIG")), ("silent", (), ("exit status 3",)), ("killed", (), ("signal 9",)),
            ("html", (), ("neither an object nor an array",)), ("cut", (), ("ends in the middle",)),
            ("hang", ("--timeout", "300ms"), ("no answer within 0.3 s", "--timeout")),
            ("hang-pods", ("--timeout", "500ms"), ("kubectl get pods: no answer",))):
        done = nodes("--json", *args, env=fake(mode))
        report(done.returncode == 2 and len(done.stderr.splitlines()) == 1 and all(w in done.stderr for w in words) and not done.stdout,
               f"kubectl: {mode}", done.returncode, done.stderr)
    done = subprocess.run([sys.executable, "-c",
                           "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])",
                           WEFT, "nodes", "--csv"], env={**ENV, **fake()}, capture_output=True, text=True, check=False, timeout=60)
    report(done.returncode == 0 and done.stdout.count("\n") == 4, "a parent that ignores children", done.stderr)
    empty = TOP.name + "/empty"
    os.mkdir(empty)
    done = nodes("--json", env={"PATH": empty})
    report(done.returncode == 2 and "no kubectl on PATH" in done.stderr and "--k8s-json" in done.stderr, "there is no kubectl", done.stderr)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def soon(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_children():
    """Whatever ends weft ends kubectl; and a kubectl that takes too long ends with what it has started."""
    pids = []
    for what in ("nodes", "pods"):
        with open(f"{FAKE}/pid.{what}", encoding="ascii") as file:
            pids += file.read().split()
    report(len(pids) == 4 and soon(lambda: not any(is_running(p) for p in pids)), "nothing is left of one that hung", pids)
    for number in (signal.SIGINT, signal.SIGKILL):
        for what in ("nodes", "pods"):
            if os.path.exists(f"{FAKE}/pid.{what}"):
                os.unlink(f"{FAKE}/pid.{what}")
        process = subprocess.Popen([WEFT, "nodes", "--json"], env={**ENV, **fake("hold")}, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        pids.clear()

        def begun():
            pids.clear()
            for what in ("nodes", "pods"):
                if os.path.exists(f"{FAKE}/pid.{what}"):
                    with open(f"{FAKE}/pid.{what}", encoding="ascii") as file:
                        pids.extend(file.read().split())
            return len(pids) == 2
        started = soon(begun)
        process.send_signal(number)
        process.wait(10)
        report(started and soon(lambda: not any(is_running(p) for p in pids)),
               f"signal {number} leaves no kubectl behind", pids)


# The real kubectl, and an API server of our own

class Api(http.server.BaseHTTPRequestHandler):
    """As much of an API server as kubectl get needs; lists come in pages."""
    items = {}

    def do_GET(self):  # pylint: disable=invalid-name
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        names = {"/api/v1/nodes": "Node", "/api/v1/pods": "Pod"}
        if path == "/api":
            body = {"kind": "APIVersions", "versions": ["v1"]}
        elif path == "/apis":
            body = {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
        elif path == "/api/v1":
            body = {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
                {"name": "nodes", "singularName": "node", "namespaced": False, "kind": "Node", "verbs": ["get", "list"]},
                {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]}]}
        elif path in names:
            items, at = self.items[path], int(asked.get("continue", 0))
            end = min(at + 2, len(items))
            body = {"kind": names[path] + "List", "apiVersion": "v1", "items": items[at:end],
                    "metadata": {"resourceVersion": "1", **({"continue": str(end)} if end < len(items) else {})}}
        else:
            self.send_error(404)
            return
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):  # pylint: disable=arguments-differ
        pass


COLUMNS = (r"-o=custom-columns=NAME:.metadata.name,INSTANCETYPE:.metadata.labels.node\.kubernetes\.io/instance-type,"
           r"GPU:.status.allocatable.nvidia\.com/gpu,EFA:.status.allocatable.vpc\.amazonaws\.com/efa")


def test_real():
    if not shutil.which("kubectl"):
        skip("the columns of kubectl itself", "no kubectl")
        return
    Api.items = {"/api/v1/nodes": sorted(NODES, key=c.name_of),  # As etcd has them.
                 "/api/v1/pods": [p for p in PODS if p["status"]["phase"] != "Succeeded"]}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = save("config", json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "here", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}]}))
    want = subprocess.run(["kubectl", "--kubeconfig", config, "get", "nodes", COLUMNS], env=ENV, capture_output=True, text=True,
                          check=False, timeout=60)
    got = weft("info", "--k8s", "--kubeconfig", config)
    cut = [re.match(r"(?:\S+ +){3}\S+", line).group() for line in got.stdout.splitlines()]
    report(want.returncode == 0 and cut == want.stdout.splitlines(), "the columns of kubectl itself, letter by letter", want.stderr,
           want.stdout, got.stdout, got.stderr)
    done = nodes("--once", "--kubeconfig", config, "--context", "here")
    report(done.stdout == nodes("--k8s-json", SMALL).stdout, "the real kubectl, a list in pages", done.stdout, done.stderr)
    server.shutdown()
    done = nodes("--once", "--kubeconfig", config, "--context", "nowhere")
    report(done.returncode == 2 and "nowhere" in done.stderr and "get-contexts" in done.stderr, "no such context", done.stderr)
    server.server_close()
    done = nodes("--once", "--kubeconfig", config)
    report(done.returncode == 2 and "refused" in done.stderr and "is the cluster up" in done.stderr, "nobody there", done.stderr)


# A terminal

class Tmux:
    """`weft nodes` in a terminal of tmux, of a server of our own."""

    def __init__(self, *args, env=None, columns=80, rows=24):
        self.socket = tempfile.mktemp(prefix="t", dir=TOP.name)
        self.ended = self.socket + ".rc"
        words = " ".join(f"'{a}'" for a in (WEFT, "nodes", *args))
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  f"{words}; echo $? >{self.ended}; sleep 60", env={**ENV, **(env or {})})

    def tmux(self, *args, env=None):
        return subprocess.run(["tmux", "-S", self.socket, *args], env=env or ENV, capture_output=True, text=True, check=False,
                              timeout=30).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def shows(self, pattern):
        return soon(lambda: re.search(pattern, self.screen()))

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def rc(self):
        if not soon(lambda: os.path.exists(self.ended) and os.path.getsize(self.ended)):
            return None
        with open(self.ended, encoding="ascii") as file:
            return int(file.read())

    def end(self):
        self.tmux("kill-server")


def test_terminal():
    if not shutil.which("tmux"):
        skip("a terminal", "no tmux")
        return
    many = save("many.json", c.listed(*[c.node(f"ip-10-0-0-{i:03}.ec2.internal", "p5.48xlarge", gpus=8, efas=32 if i else 31)
                                        for i in range(50)], c.plugin("ip-10-0-0-000.ec2.internal")))
    t = Tmux("--k8s-json", many)
    report(t.shows("page 1/") and "ip-10-0-0-000" in t.screen() and len(max(t.screen().splitlines(), key=len)) <= 80,
           "80 x 24: a page of nodes", t.screen())
    report("31/32!" in t.screen() and "! 1 node: fewer EFAs than the type has: ip-10-0-0-000" in t.screen(), "trouble on it", t.screen())
    t.keys("Right")
    report(t.shows("page 2/") and "ip-10-0-0-000 " not in t.screen(), "right: the next page", t.screen())
    t.keys("Left")
    report(t.shows("page 1/"), "left", t.screen())
    t.keys("t")
    report(t.shows("50 ready"), "t: by type", t.screen())
    t.keys("t", "e")
    report(t.shows("page 1/1, 1 rows"), "e: with trouble", t.screen())
    t.keys("e", "/", "0", "4", "x", "BSpace")
    report(t.shows("filter: 04_"), "/: a filter is typed", t.screen())
    t.keys("Enter")
    report(t.shows(r"11 rows, filter: 04\n"), "and kept", t.screen())
    t.keys("w")
    report(t.shows(r"fix  List all network cards"), "w: what is wrong", t.screen())
    t.keys("w", "h")
    report(t.shows("next sort order"), "h: help", t.screen())
    t.keys("h", "s")
    report(t.shows("s sort: type"), "s: sorts", t.screen())
    t.keys("q")
    report(t.rc() == 0, "q: quits, with 0", t.screen())
    t.end()
    t = Tmux("--k8s-json", many, columns=20, rows=4)
    report(t.shows("nodes"), "a tiny terminal", t.screen())
    t.keys("h", "w", "t", "Right", "s", "C-c")
    report(t.rc() == 0, "^C: ends with 0", t.screen())
    t.end()
    t = Tmux("-i", "200ms", env=fake("slow"))
    report(t.shows("asking the cluster") or t.shows("3 nodes"), "a cluster that is slow: the screen is there first", t.screen())
    report(t.shows(r"3 nodes \(64480m"), "then the nodes", t.screen())
    save("bin/nodes.json", c.listed(*NODES[:2]))
    report(t.shows(r"2 nodes \("), "and what became of them", t.screen())
    save("bin/nodes.json", "<html>")
    report(t.shows("! not refreshed: kubectl get nodes: line 1") and "2 nodes (" in t.screen(), "what was read stays when kubectl fails",
           t.screen())
    save("bin/nodes.json", c.listed(*NODES))
    report(t.shows(r"3 nodes \(") and soon(lambda: "not refreshed" not in t.screen()), "until it is back", t.screen())
    t.keys("q")
    report(t.rc() == 0, "q, while it runs", t.screen())
    t.end()
    t = Tmux(env=fake("refused"))
    report(t.rc() == 2 and t.shows("KUBECONFIG"), "a cluster that is not there ends it, with 2", t.screen())
    t.end()


def test_dumb():
    """A terminal that cannot move its cursor."""
    master, slave = pty.openpty()
    done = subprocess.run([WEFT, "nodes", "--k8s-json", SMALL], stdin=slave, stdout=slave, stderr=slave, env={**ENV, "TERM": "dumb"},
                          check=False, timeout=60)
    os.close(slave)
    text = os.read(master, 65536).decode()
    os.close(master)
    report(done.returncode == 0 and "3 nodes" in text and "\x1b" not in text and
           max(len(line) for line in text.split("\r\n")) <= 100, "a dumb terminal gets plain lines", text)


for test in (test_text, test_json, test_kinds, test_requests, test_view, test_check, test_info, test_wrong):
    test()
make_kubectl()
for test in (test_kubectl, test_children, test_real, test_terminal, test_dumb):
    test()
print(f"1..{count}")
sys.exit(1 if failed else 0)
