#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_export.py WEFT FIXTURES DEPLOY: `weft export` before promtool, Prometheus, and clients that are slow or broken;
and whether the rules and the dashboard that come with it name only metrics that there are. TAP."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, sys.argv[2])
import machine as m  # noqa: E402  pylint: disable=wrong-import-position

WEFT, DEPLOY = sys.argv[1], sys.argv[3]
TOP = tempfile.TemporaryDirectory()
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "FI_", "NCCL_", "LD_"))}
ENV.update(WEFT_RUN_DIR=TOP.name + "/run", http_proxy="", no_proxy="*")
os.environ["no_proxy"] = "*"
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


def export(*args, to=subprocess.PIPE, seconds=60):
    return subprocess.run([WEFT, "export", *args], stdout=to, stderr=subprocess.PIPE, env=ENV, check=False, timeout=seconds,
                          text=True)


def node():
    """A node with everything that a metric is made of: cards, one of them of a pod, and one that is down."""
    tree = m.machine("p4d.24xlarge")
    card = "sys/devices/pci0000:10/0000:10:1b.0/infiniband/rdmap16s27"
    for name in ("rx_drops", "rdma_read_wr_err", "rdma_write_wr_err", "send_bytes", "rdma_read_bytes", "rdma_write_bytes"):
        tree[f"{card}/ports/1/hw_counters/{name}"] = "1\n"
    for name in ("lifespan", "cmds_err", "no_completion_cmds"):
        tree[f"{card}/hw_counters/{name}"] = "2\n"
    tree["sys/devices/pci0000:14/0000:14:1b.0/infiniband/rdmap20s27/ports/1/state"] = "1: DOWN\n"
    tree["sys/class/net/ens32/statistics/rx_bytes"] = tree["sys/class/net/ens32/statistics/tx_bytes"] = "1000\n"
    uid = "0a1b2c3d-1111-2222-3333-444455556666"
    tree["proc/4242/stat"] = '4242 (a"\\b) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 1234 1 1\n'
    tree["proc/4242/environ"] = "FI_PROVIDER=efa\0"
    tree["proc/4242/cgroup"] = f"12:pids:/kubepods/burstable/pod{uid}/{'e' * 64}\n"
    tree["proc/4242/fd/3"] = m.Link("/dev/infiniband/uverbs0")
    tree[f"var/log/pods/ns-1_pod-1_{uid}/x"] = ""
    return tree


ROOT = TOP.name + "/root"
m.write(node(), ROOT)


def values(text):
    """{(name, labels): value}"""
    out = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r'([a-z0-9_]+)(\{.*\})? ([0-9.e+]+)', line).groups()
        key = (name, labels or "")
        if key in out:
            raise ValueError(f"{key} comes twice")
        out[key] = value
    return out


def promtool(*args, data=None, cwd=None):
    return subprocess.run(["promtool", *args], input=data, capture_output=True, text=True, check=False, timeout=60, cwd=cwd)


def test_text():
    done = export("--root", ROOT, "--textfile", "-", "--programs")
    report(done.returncode == 0, "a tree can be exported", done.stderr)
    got = values(done.stdout)
    card = '{device="rdmap16s27",port="1"}'
    report(got.get(("node_amazonefa_tx_bytes", card)) == "123456" and got.get(("node_amazonefa_cmds_err", card)) == "2",
           "counters of both folders have the names that dashboards know", done.stdout)
    report(got.get(("weft_card_up", card)) == "1" and got.get(("weft_card_up", '{device="rdmap20s27",port="1"}')) == "0" and
           got.get(("weft_card_line_bytes_per_second", card)) == "12500000000", "state and speed")
    report(any(name == "weft_card_pod_info" and 'device="rdmap16s27"' in labels and 'namespace="ns-1",pod="pod-1"' in labels
               for name, labels in got), "whose a card is")
    report(any('program="a\\"\\\\b"' in labels for _, labels in got), "names are escaped")
    if shutil.which("promtool"):
        for args in (["--root", ROOT, "--programs"], ["--instance", "p5.48xlarge", "--addr", "127.0.0.2", "--details"]):
            text = export("--textfile", "-", *args).stdout
            done = promtool("check", "metrics", data=text)
            report(done.returncode == 0 and not done.stderr and len(text) > 1000, f"promtool check metrics: {args[1]}",
                   done.stderr)
    else:
        skip("promtool check metrics", "no promtool here (Debian package prometheus)")
    path = TOP.name + "/weft.prom"
    done = export("--root", ROOT, "--textfile", path, "--once")
    with open(path, encoding="utf-8") as file:
        report(done.returncode == 0 and len(values(file.read())) > 30 and os.listdir(TOP.name).count("weft.prom") == 1,
               "--textfile FILE")
    return got


class Server:
    def __init__(self, *args):
        self.process = subprocess.Popen([WEFT, "export", "--listen", "127.0.0.1:0", *args], stderr=subprocess.PIPE, env=ENV,
                                        text=True)
        line = self.process.stderr.readline()
        self.port = int(re.search(r":(\d+)/metrics", line).group(1))
        self.url = f"http://127.0.0.1:{self.port}"

    def get(self, path="/metrics", **headers):
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    def raw(self, data, seconds=10):
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as sock:
            sock.sendall(data)
            out = b""
            while True:
                more = sock.recv(65536)
                if not more:
                    return out.decode()
                out += more

    def seconds(self):
        """Of processor time so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        rc = self.process.wait(10)
        self.process.stderr.close()
        return rc


def test_http():
    server = Server("--root", ROOT)
    kind, text = server.get()
    report(kind.startswith("text/plain; version=0.0.4") and values(text), "the older text format by default", kind)
    kind, text = server.get(Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    report(kind.startswith("application/openmetrics-text; version=1.0.0") and text.endswith("# EOF\n") and
           "# TYPE weft_network_receive_bytes counter" in text and "# TYPE node_amazonefa info" in text and
           "# TYPE node_amazonefa_tx_bytes unknown" in text, "OpenMetrics for who asks for it", text[-500:])
    for data, status in (
            (b"GET / HTTP/1.1\r\n\r\n", 200), (b"HEAD /metrics HTTP/1.0\r\n\r\n", 200), (b"GET /metrics?x=1 HTTP/1.1\r\n\r\n", 200),
            (b"GET /x HTTP/1.1\r\n\r\n", 404), (b"POST /metrics HTTP/1.1\r\n\r\n", 405), (b"GET /metrics\r\n\r\n", 400),
            (b"\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\r\n\r\n", 400), (b"GET /" + b"a" * 9000, 431), (b"\0" * 8192, 400)):
        answer = server.raw(data)
        report(answer.startswith(f"HTTP/1.1 {status} "), f"{data[:30]!r}: {status}", answer[:200])
    report("\r\n\r\n" in server.raw(b"HEAD /metrics HTTP/1.1\r\n\r\n") and
           not server.raw(b"HEAD /metrics HTTP/1.1\r\n\r\n").split("\r\n\r\n", 1)[1], "HEAD has no body")

    # Clients that say nothing, half of it, or never read: more than there are places.
    silent = []
    for i in range(80):
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        if i % 3 == 1:
            sock.sendall(b"GET /metr")
        if i % 3 == 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        silent.append(sock)
    start = time.monotonic()
    report(values(server.get()[1]) and time.monotonic() - start < 5, "80 clients that hang keep nobody waiting")
    for sock in silent:
        sock.close()
    halves = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(3)]
    for sock in halves:  # A reset in the middle.
        sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    report(values(server.get()[1]), "clients that reset their connection")
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(3)]
    before = server.seconds()
    for sock in held:  # Served, they have a second to close.
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while sock.recv(4096):
            pass
    time.sleep(1)
    used = server.seconds() - before
    report(used < 0.1, "clients that do not close cost nothing", used)
    for sock in held:
        sock.close()

    done = export("--listen", f"127.0.0.1:{server.port}")
    report(done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "Address already in use" in done.stderr,
           "a busy port: one line, exit 2", done.stderr)
    with open(f"/proc/{server.process.pid}/net/tcp", encoding="ascii") as table:
        rows = [line.split()[1] for line in table if line.split()[3] == "0A"]
    report(f"0100007F:{server.port:04X}" in rows, "it listens on loopback only", rows)
    report(server.end() == 0, "SIGTERM ends it, with 0")
    server = Server("--root", ROOT)
    report(server.end(signal.SIGINT) == 0, "SIGINT, too")
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen([WEFT, "export", "--root", ROOT, "--textfile", TOP.name + "/often", "-i", "3600s"], env=ENV)
        while not os.path.exists(TOP.name + "/often"):
            time.sleep(0.01)
        process.send_signal(number)
        report(process.wait(10) == 0, f"{number.name} ends the writer of a file")
        os.unlink(TOP.name + "/often")


def test_prometheus():
    if not shutil.which("prometheus"):
        skip("Prometheus scrapes it", "no prometheus here (Debian package prometheus)")
        return
    server = Server("--root", ROOT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = TOP.name + "/prometheus.yml"
    with open(config, "w", encoding="utf-8") as file:
        file.write("global: {scrape_interval: 1s}\n"
                   f"rule_files: [{os.path.abspath(DEPLOY)}/prometheus/weft.rules.yml]\n"
                   f"scrape_configs: [{{job_name: weft, static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]}}]\n")
    with open(TOP.name + "/prometheus.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={TOP.name}/tsdb",
                                    f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    value = None
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query=node_amazonefa_tx_bytes", timeout=5) as answer:
                value = json.load(answer)["data"]["result"]
        except (OSError, ValueError):
            value = None
        if value:
            break
        time.sleep(0.25)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=5) as answer:
        targets = json.load(answer)["data"]["activeTargets"]
    process.terminate()
    process.wait(20)
    report(value and len(value) == 4 and {row["value"][1] for row in value} == {"123456"} and targets[0]["health"] == "up" and
           not targets[0]["lastError"], "Prometheus scrapes it", value, targets)
    server.end()


def test_deploy(got):
    """Every metric that rules and dashboard name is one that was exported above, from a real node or a soft one."""
    soft = values(export("--textfile", "-", "--addr", "127.0.0.2").stdout)
    known = {name for name, _ in list(got) + list(soft)} | {"weft_program_fallback"}
    for name in ("prometheus/weft.rules.yml", "grafana/weft.json"):
        with open(f"{DEPLOY}/{name}", encoding="utf-8") as file:
            text = file.read()
        used = set(re.findall(r"\b(?:node_amazonefa_[a-z_]+|weft_(?:card|cards|network|program|fallback|left)[a-z_]*)\b", text))
        report(len(used) > 8 and used <= known, f"{name} names only metrics that exist", used - known)
    with open(f"{DEPLOY}/grafana/weft.json", encoding="utf-8") as file:
        dashboard = json.load(file)
    ids = [panel["id"] for panel in dashboard["panels"]]
    report(len(ids) == len(set(ids)) and all(panel["targets"] for panel in dashboard["panels"]) and dashboard["uid"],
           "the dashboard is JSON, with panels of their own")
    if not shutil.which("promtool"):
        skip("promtool check rules", "no promtool here (Debian package prometheus)")
        return
    done = promtool("check", "rules", f"{DEPLOY}/prometheus/weft.rules.yml")
    report(done.returncode == 0, "promtool check rules", done.stdout, done.stderr)
    for panel in dashboard["panels"]:
        rules = "groups: [{name: x, rules: [" + ", ".join(
            "{record: x, expr: %s}" % json.dumps(re.sub(r"\$__rate_interval", "1m", target["expr"])) for target in panel["targets"]) + "]}]"
        path = TOP.name + "/panel.yml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(rules)
        done = promtool("check", "rules", path)
        report(done.returncode == 0, f"queries of the panel {panel['title']!r}", done.stdout, done.stderr)
    shutil.copy(f"{DEPLOY}/prometheus/weft.rules.yml", TOP.name)
    shutil.copy(os.path.join(os.path.dirname(__file__), "rules_test.yml"), TOP.name)
    done = promtool("test", "rules", "rules_test.yml", cwd=TOP.name)
    report(done.returncode == 0, "alerts fire when they should", done.stdout, done.stderr)


def test_wrong():
    full = TOP.name + "/full"
    for args, words in (
            (["--frob"], "no such argument"), (["--listen", "x"], "an address and a port"), (["--listen", "host.example:1"], "an address"),
            (["--listen", "127.0.0.1:70000"], "an address"), (["--listen", "::1:9410"], "an address"), (["--listen"], "needs a value"),
            (["--listen", "198.51.100.1:9410"], "cannot listen"), (["--once"], "--textfile"), (["--interval", "5s"], "--textfile"),
            (["--textfile", "x", "--listen", "y"], "not both"), (["--textfile", full, "--interval", "1ms"], "1s"),
            (["--programs", "--no-procs"], "not both"), (["--root", "/nonexistent"], "No such file"),
            (["--textfile", "/nonexistent/x", "--once"], "No such file"), (["--textfile", "/", "--once"], "Is a directory"),
            (["--vendor", "0"], "vendor"), (["--alarm", "0"], "bits per second")):
        done = export(*args, to=subprocess.DEVNULL)
        lines = done.stderr.splitlines()
        report(done.returncode == 2 and len(lines) == 1 and words in lines[0], "refused: " + " ".join(args[:2])[:40],
               done.returncode, done.stderr)
    with open("/dev/full", "w", encoding="utf-8") as file:
        done = export("--textfile", "-", to=file)
        report(done.returncode == 2 and len(done.stderr.splitlines()) == 1, "a full disk: stdout", done.stderr)

    def little():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    with open(full, "w", encoding="utf-8") as file:
        file.write("old\n")
    done = subprocess.run([WEFT, "export", "--textfile", full, "--once"], capture_output=True, text=True, env=ENV, check=False,
                          preexec_fn=little, timeout=60)
    with open(full, encoding="utf-8") as file:
        report(done.returncode == 2 and len(done.stderr.splitlines()) == 1 and file.read() == "old\n" and
               not [name for name in os.listdir(TOP.name) if name.startswith("full.")],
               "a file that cannot be written whole: the old one stays", done.stderr)


real = test_text()
test_http()
test_prometheus()
test_deploy(real)
test_wrong()
print(f"1..{count}")
sys.exit(1 if failed else 0)
