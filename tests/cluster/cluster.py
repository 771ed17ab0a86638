# SPDX-License-Identifier: BSD-2-Clause
"""A Kubernetes cluster inside the namespaces that kube.py has made.

    network namespace of the control plane: etcd, API server, scheduler, controller manager, names
        lan 10.97.0.1 (a bridge)
         |                               |
    node1: eth0 10.97.0.11           node2: eth0 10.97.0.12          kubelet, containerd
           cni0 10.97.1.1                   cni0 10.97.2.1
            |        |                       |        |
          pod      pod 10.97.1.N           pod      pod 10.97.2.N

Routes lead from pod to pod, without translation, as Kubernetes asks of every network. A node has mounts of its
own where kubelet and containerd write (/var/lib, /var/log, /run, /dev/shm, /opt), and below weft-kube-N/NODE its
control groups. Names of headless services are answered by a few lines here in place of CoreDNS.
"""
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import kube as outer

CONTROL = "10.97.0.1"

CONTAINERD = """
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "weft-fabric:0.1.0"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{kube}/debian/usr/lib/cni"
    conf_dir = "/var/lib/cni/conf"
"""

KUBELET = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
cgroupDriver: cgroupfs
cgroupRoot: /weft-kube-{run}/{name}
clusterDNS: ["{control}"]
clusterDomain: cluster.local
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
evictionHard: {{memory.available: 50Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
nodeStatusReportFrequency: 2s
volumePluginDir: /var/lib/kubelet/volume-plugins
resolvConf: ""
"""

NODE_MOUNTS = """
set -e
hostname "$1"
ip link set lo up
for place in var/lib var/log opt; do
	mkdir -p "$2/$place"
	mount --bind "$2/$place" "/$place"
done
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mkdir -p /run/netns /var/lib/cni/conf /var/lib/kubelet
mount --make-rshared /
echo 1 >/proc/sys/net/ipv4/ip_forward
touch "$2/ready"
exec sleep infinity
"""


def wait(what, seconds=60):
    """The value of what() once it is true, or the last one."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.2)


class Node:
    def __init__(self, cluster, number):
        self.cluster, self.number, self.name = cluster, number, f"node{number}"
        self.state = f"{cluster.state}/{self.name}"
        self.address = f"10.97.0.{10 + number}"
        os.makedirs(self.state)
        self.holder = cluster.start(f"{self.name}-init", ["unshare", "--mount", "--uts", "--ipc", "--net", "sh", "-c",
                                                          NODE_MOUNTS, "node", self.name, self.state])
        if not wait(lambda: os.path.exists(f"{self.state}/ready"), 10):
            raise RuntimeError(f"no namespaces for {self.name}: {cluster.log_of(self.name + '-init')}")
        self.connect()
        self.make_groups()
        self.write("containerd.toml", CONTAINERD.format(kube=cluster.kube))
        self.write("kubelet.yaml", KUBELET.format(run=cluster.run_id, name=self.name, control=CONTROL))
        self.write("var/lib/cni/conf/10-weft.conflist", json.dumps({
            "cniVersion": "0.4.0", "name": "pods", "plugins": [
                {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "ipam": {
                    "type": "host-local", "subnet": f"10.97.{number}.0/24", "dataDir": "/var/lib/cni/addresses",
                    "routes": [{"dst": "0.0.0.0/0"}]}}]}))
        self.containerd = self.kubelet = None

    def write(self, name, content):
        path = f"{self.state}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def within(self):
        return ["nsenter", "-t", str(self.holder.pid), "--mount", "--uts", "--ipc", "--net", "--"]

    def run(self, *words, **options):
        return self.cluster.run(*self.within(), *words, **options)

    def connect(self):
        end = f"eth-{self.name}"
        tool = self.cluster.run
        tool("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        tool("ip", "link", "set", end, "master", "lan", "up")
        tool("ip", "route", "add", f"10.97.{self.number}.0/24", "via", self.address)
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", CONTROL)
        for other in (1, 2):
            if other != self.number:
                self.run("ip", "route", "add", f"10.97.{other}.0/24", "via", f"10.97.0.{10 + other}")

    def make_groups(self):
        for root in outer.hierarchies():
            for path in (f"{root}/weft-kube-{self.cluster.run_id}", f"{root}/weft-kube-{self.cluster.run_id}/{self.name}"):
                os.makedirs(path, exist_ok=True)
                # A cpuset starts empty, and takes no process then.
                for name in ("cpuset.cpus", "cpuset.mems"):
                    if os.path.exists(f"{path}/{name}"):
                        copy(f"{os.path.dirname(path)}/{name}", f"{path}/{name}")
                # Version 2 hands controllers down by name.
                if os.path.exists(f"{path}/cgroup.controllers"):
                    copy(f"{path}/cgroup.controllers", f"{path}/cgroup.subtree_control", lambda all_of: " ".join(
                        "+" + one for one in all_of.split()))

    def start_containerd(self, images):
        self.containerd = self.cluster.start(f"{self.name}-containerd", [
            *self.within(), "containerd", "--config", f"{self.state}/containerd.toml"])
        if not wait(lambda: self.ctr("version").returncode == 0, 60):
            raise RuntimeError(f"containerd does not answer: {self.cluster.log_of(self.name + '-containerd')}")
        for image in images:
            self.ctr("images", "import", image, check=True)

    def ctr(self, *words, **options):
        options.setdefault("check", False)
        return self.run("ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", *words, **options)

    def start_kubelet(self):
        self.kubelet = self.cluster.start(f"{self.name}-kubelet", [
            *self.within(), self.cluster.program("kubelet"), f"--config={self.state}/kubelet.yaml",
            f"--kubeconfig={self.cluster.kubeconfig}", "--container-runtime=remote",
            "--container-runtime-endpoint=unix:///run/containerd/containerd.sock", f"--hostname-override={self.name}",
            f"--node-ip={self.address}"])

    def stop_kubelet(self):
        self.kubelet.send_signal(signal.SIGTERM)
        self.kubelet.wait(20)


def copy(source, target, change=lambda text: text):
    with open(source, encoding="ascii") as file:
        content = change(file.read())
    with open(target, "w", encoding="ascii") as file:
        file.write(content)


class Cluster:
    def __init__(self, kube, state, run_id):
        self.kube, self.state, self.run_id = kube, state, run_id
        self.kubeconfig = f"{state}/kubeconfig"
        self.nodes = []
        os.makedirs(f"{state}/log", exist_ok=True)
        os.makedirs(f"{state}/control", exist_ok=True)
        # kubelet finds these as it wants them, and so does not change them for the whole machine.
        for name, value in outer.SYSCTLS.items():
            path = f"{state}/control/{name.replace('/', '.')}"
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{value}\n")
            if os.path.exists(f"/proc/sys/{name}"):
                self.run("mount", "--bind", path, f"/proc/sys/{name}")
        for words in ("link set lo up", "link add lan type bridge", f"addr add {CONTROL}/24 dev lan", "link set lan up"):
            self.run("ip", *words.split())
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
            file.write("1")

    def program(self, name):
        return f"{self.kube}/bin/{name}"

    def run(self, *words, check=True, seconds=60, stdin=None):
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, timeout=seconds)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(map(str, words))}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done

    def start(self, name, words):
        with open(f"{self.state}/log/{name}", "a", encoding="utf-8") as log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log_of(self, name, lines=5):
        with open(f"{self.state}/log/{name}", encoding="utf-8", errors="replace") as file:
            return " | ".join(file.read().splitlines()[-lines:])

    def start_control(self):
        control, token = f"{self.state}/control", os.urandom(16).hex()
        with open(f"{control}/tokens", "w", encoding="ascii") as file:
            file.write(f"{token},admin,admin,system:masters\n")
        with open(self.kubeconfig, "w", encoding="ascii") as file:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "kube",
                       "clusters": [{"name": "kube", "cluster": {"server": f"https://{CONTROL}:6443",
                                                                 "insecure-skip-tls-verify": True}}],
                       "users": [{"name": "admin", "user": {"token": token}}],
                       "contexts": [{"name": "kube", "context": {"cluster": "kube", "user": "admin"}}]}, file)
        self.run("openssl", "genrsa", "-out", f"{control}/accounts.key", "2048")
        self.start("etcd", ["etcd", "--data-dir", f"{control}/etcd", "--unsafe-no-fsync",
                            "--listen-client-urls", "http://127.0.0.1:2379",
                            "--advertise-client-urls", "http://127.0.0.1:2379",
                            "--listen-peer-urls", "http://127.0.0.1:2380"])
        self.start("apiserver", [
            self.program("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0",
            f"--advertise-address={CONTROL}", f"--cert-dir={control}/certs", "--secure-port=6443",
            f"--token-auth-file={control}/tokens", "--authorization-mode=AlwaysAllow", "--allow-privileged=true",
            "--service-cluster-ip-range=10.98.0.0/24", "--service-account-issuer=https://kube",
            f"--service-account-key-file={control}/accounts.key",
            f"--service-account-signing-key-file={control}/accounts.key", "--disable-admission-plugins=ServiceAccount",
            "--kubelet-preferred-address-types=InternalIP"])
        if not wait(lambda: self.kubectl("get", "--raw=/readyz", check=False).stdout == "ok", 120):
            raise RuntimeError(f"the API server does not answer: {self.log_of('apiserver')}")
        for name in ("kube-scheduler", "kube-controller-manager"):
            self.start(name, [self.program(name), f"--kubeconfig={self.kubeconfig}", "--leader-elect=false"])
        threading.Thread(target=Names(self).serve, daemon=True).start()

    def kubectl(self, *words, **options):
        return self.run(self.program("kubectl"), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.state}/cache",
                        *words, **options)

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)

    def add_node(self, images):
        node = Node(self, len(self.nodes) + 1)
        self.nodes.append(node)
        node.start_containerd(images)
        node.start_kubelet()
        return node

    def apply(self, *objects):
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def pod(self, name):
        return self.get("pod", name)

    def phase(self, name):
        return self.pod(name)["status"].get("phase")

    def logs(self, name):
        return self.kubectl("logs", name, check=False).stdout

    def counts(self, which="allocatable", resource="vpc.amazonaws.com/efa"):
        return [node["status"][which].get(resource) for node in self.get("nodes")["items"]]


class Names:
    """Answers for the names of headless services: the addresses of their endpoints."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((CONTROL, 53))

    def serve(self):
        while True:
            query, source = self.socket.recvfrom(512)
            try:
                self.socket.sendto(self.answer(query), source)
            except (IndexError, struct.error, RuntimeError, OSError):
                continue

    def answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace").lower())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        found = None
        if len(labels) == 5 and labels[2:] == ["svc", "cluster", "local"]:
            found = self.addresses(labels[0], labels[1])
        records = b"".join(struct.pack("!HHHIH4s", 0xc00c, 1, 1, 1, 4, socket.inet_aton(address))
                           for address in found or []) if kind == 1 else b""
        return struct.pack("!2sHHHHH", query[:2], 0x8580 | (3 if found is None else 0), 1, len(records) // 16, 0,
                           0) + question + records

    def addresses(self, service, namespace):
        found = self.cluster.kubectl("get", "endpoints", service, "-n", namespace, "-o", "json", check=False)
        if found.returncode:
            return None
        return [address["ip"] for subset in json.loads(found.stdout).get("subsets") or []
                for key in ("addresses", "notReadyAddresses") for address in subset.get(key) or []]
