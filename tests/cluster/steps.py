# SPDX-License-Identifier: BSD-2-Clause
"""What is shown on the cluster, step by step. Each check prints a line; what went wrong follows it. Steps leave nothing to the
next but the nodes and the plugin."""
import glob
import json
import os
import re
import subprocess
import sys
import time
import traceback
import urllib.request

import cluster as kubernetes
import image
from cluster import wait

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures"))
import machine as machines

EFA = "vpc.amazonaws.com/efa"
FABRIC = "weft-fabric:0.1.0"
PLUGIN = "weft-device-plugin:0.1.0"
PROGRAMS = ["sh", "sleep", "cat", "env", "grep", "sed", "ls", "timeout", "getent", "fi_info", "fi_pingpong"]
SOURCE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEPLOY = f"{SOURCE}/deploy/kubernetes"
PORT = f"{47592:04X}"  # fi_pingpong's.
# Counters come last, so that the program's own table stays whole.
PINGPONG = "timeout 60 fi_pingpong -p efa -e rdm -c -S all -I 5 {}; rc=$?; cat /tmp/stats; exit $rc"
TYPES = ["p4d.24xlarge", "p5.48xlarge", "p5en.48xlarge", "p6-b200.48xlarge", "trn1.32xlarge", "hpc7a.96xlarge", "g5.48xlarge"]


class Steps:
    def __init__(self, build, kube, state, run_id):
        self.build, self.state = build, state
        self.cluster = kubernetes.Cluster(kube, state, run_id)
        self.passed = self.failed = 0

    def check(self, good, name, *details):
        self.passed += bool(good)
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'}  {name}", flush=True)
        for detail in () if good else details:
            for line in str(detail() if callable(detail) else detail).strip().splitlines()[-25:]:
                print(f"        {line}")
        return bool(good)

    # Pods

    def pod(self, name, cards, command, node=None, labels=None, **more):
        """As a user would write it: an image that knows nothing of weft, and so many cards."""
        spec = more.pop("spec", {})
        container = {"name": "main", "image": FABRIC, "command": ["sh", "-c", command],
                     "env": [{"name": key, "value": value} for key, value in
                             {"WEFT_STATS": "/tmp/stats", **more.pop("env", {})}.items()], **more}
        if cards:
            container["resources"] = {"limits": {EFA: str(cards)}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}},
                "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container],
                         **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}), **spec}}

    def start(self, *pods, phases=("Running", "Succeeded", "Failed"), seconds=60):
        self.cluster.apply(*pods)
        return all([wait(lambda name=pod["metadata"]["name"]: self.cluster.phase(name) in phases, seconds) for pod in pods])

    def ended(self, name, seconds=90):
        return wait(lambda: self.cluster.phase(name) in ("Succeeded", "Failed"), seconds) and self.cluster.phase(name)

    def remove(self, *names):
        self.cluster.kubectl("delete", "pod", *names, "--grace-period=0", "--force", "--wait=true", check=False)

    def about(self, *names):
        return "\n".join(f"{name}: {self.cluster.phase(name)}\n{self.cluster.logs(name)}{self.events(name)}" for name in names)

    def events(self, name):
        found = self.cluster.get("events", f"--field-selector=involvedObject.name={name}")["items"]
        return "\n".join(event.get("message", "") for event in found)

    def within(self, name, *command):
        return self.cluster.kubectl("exec", name, "--", *command, check=False).stdout

    def process_of(self, name):
        """The number of a process of the pod, by its control group."""
        uid = self.cluster.pod(name)["metadata"]["uid"]
        for path in glob.glob("/proc/[0-9]*/cgroup"):
            try:
                with open(path, encoding="ascii") as file:
                    if uid in file.read():
                        return path.split("/")[2]
            except OSError:
                continue
        raise RuntimeError(f"no process of pod {name}")

    def counters(self, log):
        """All that the cards of a pod have counted, added up."""
        total = {}
        for line in log.splitlines():
            if line.startswith("{"):
                for key, value in json.loads(line).items():
                    if isinstance(value, int):
                        total[key] = total.get(key, 0) + value
        return total

    def pingpong(self, where, wire, name, cards=(1, 1), **more):
        """Two pods that send each other messages, and what carried these."""
        server, client = self.pod("server", cards[0], PINGPONG.format(""), where[0], **more), None
        self.start(server, phases=("Running",))
        address = self.cluster.pod("server")["status"]["podIP"]
        wait(lambda: PORT in self.within("server", "cat", "/proc/net/tcp", "/proc/net/tcp6"), 20)
        client = self.pod("client", cards[1], PINGPONG.format(address), where[1], **more)
        self.start(client)
        ends = [self.ended("client"), self.ended("server", 20)]
        counted = [self.counters(self.cluster.logs(pod)) for pod in ("server", "client")]
        least = min(one.get("rx_bytes", 0) for one in counted)
        udp, local = ([sum(one.get(f"{kind}_{way}_bytes", 0) for way in ("tx", "rx")) for one in counted]
                      for kind in ("udp", "local"))
        # Who sleeps is woken by a datagram of a byte.
        right = min(udp) > least and not any(local) if wire == "udp" else min(local) > least > 1000 * max(udp)
        good = ends == ["Succeeded"] * 2 and least > 1 << 20 and right
        self.check(good, f"{name}: {least >> 20} MiB each way by {'UDP' if wire == 'udp' else 'shared memory'}",
                   lambda: self.about("server", "client"), f"bytes by UDP: {udp}, by shared memory: {local}")
        self.remove("server", "client")

    # Steps

    def nodes(self):
        archives = [f"{self.state}/fabric.tar", f"{self.state}/plugin.tar"]
        programs = image.layer_of_programs(PROGRAMS)
        image.archive(archives[0], FABRIC, programs, Entrypoint=["/bin/sleep", "infinity"])
        subprocess.run([f"{DEPLOY}/image/rootfs", self.build, f"{self.state}/rootfs"], check=True)
        image.archive(archives[1], PLUGIN, image.layer_of_folder(f"{self.state}/rootfs"),
                      Entrypoint=["/usr/bin/weft-device-plugin"])
        for _ in range(2):
            self.cluster.add_node(archives)
        ready = wait(lambda: sum(condition["type"] == "Ready" and condition["status"] == "True"
                                 for node in self.cluster.get("nodes")["items"]
                                 for condition in node["status"]["conditions"]) == 2, 120)
        self.check(ready, "two nodes are ready", lambda: self.cluster.log_of("node1-kubelet"))
        self.check(b"weft" not in programs, "the image of pods has programs of Debian, and nothing of weft")

    def plugin(self):
        kubectl = self.cluster.kubectl
        kubectl("apply", "-f", f"{DEPLOY}/plugin.yaml")
        self.check(self.cluster.counts() == [None, None], "nodes without the label have no plugin")
        kubectl("label", "node", "--all", "weft-efa=software")
        self.check(wait(lambda: self.cluster.counts() == ["4", "4"], 60),
                   "deploy/kubernetes/plugin.yaml: both nodes have 4 cards to give", lambda: kubectl(
                       "get", "pods", "-n", "kube-system", "-o", "wide").stdout, self.plugin_log)
        files = [sorted(os.listdir(f"{node.state}/opt/weft/lib")) for node in self.cluster.nodes]
        self.check(all("libweft-preload.so" in names for names in files), "the library is on both nodes", files)

    def plugin_log(self):
        return self.cluster.kubectl("logs", "-n", "kube-system", "-l", "app.kubernetes.io/name=weft-device-plugin",
                                    "--all-containers", "--tail=20", check=False).stdout

    def fi_info(self):
        show = "fi_info -p efa -t FI_EP_RDM | sed -n 's/^ *domain: //p'; echo $LD_PRELOAD"
        self.start(self.pod("one", 1, show), self.pod("all", 4, show), self.pod("none", 0, "fi_info -p efa"))
        ends = [self.ended(name) for name in ("one", "all", "none")]
        one, four, none = (self.cluster.logs(name) for name in ("one", "all", "none"))
        self.check(ends[0] == "Succeeded" and one.count("-rdm\n") == 1, "a pod that asks for 1 card: fi_info shows 1",
                   lambda: self.about("one"))
        names = [f"rdmap{slot}s27-rdm" for slot in (16, 32, 144, 160)]
        self.check(ends[1] == "Succeeded" and sorted(four.split()[:4]) == sorted(names),
                   f"a pod that asks for 4: fi_info shows {', '.join(names)}", lambda: self.about("all"))
        self.check(ends[2] == "Failed" and "domain" not in none, "a pod that asks for none: fi_info finds nothing", none)
        self.remove("one", "all", "none")

    def pairs(self):
        self.pingpong(("node1", "node1"), "udp", "two pods of one node")
        self.pingpong(("node1", "node2"), "udp", "two pods of two nodes")
        self.pingpong(("node1", "node2"), "udp", "two pods of two nodes, 4 cards each", cards=(4, 4))
        user = {"spec": {"securityContext": {"runAsUser": 65534, "runAsNonRoot": True}}}
        self.pingpong(("node1", "node2"), "udp", "two pods without root", **user)

    def identities(self):
        """Which pods are one host, and who shares its memory."""
        shm = {"volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
               "spec": {"volumes": [{"name": "shm", "hostPath": {"path": "/dev/shm"}}]}}
        # Between processes of one address libfabric would take shared memory of its own.
        host = {"env": {"FI_EFA_ENABLE_SHM_TRANSFER": "0"}, "spec": {"hostNetwork": True}}
        self.pingpong(("node1", "node1"), "udp", "two pods of one node with the node's /dev/shm", **shm)
        self.pingpong(("node1", "node1"), "udp", "two pods in the node's network", **host)
        self.pingpong(("node1", "node2"), "udp", "two pods in the networks of two nodes", **host)
        both = {**host, **shm, "spec": {**host["spec"], **shm["spec"]}}
        self.pingpong(("node1", "node1"), "local", "two pods in the node's network with its /dev/shm", **both)

    def policy(self):
        """What a NetworkPolicy that forbids UDP does, done with nftables in the pod's network."""
        self.start(self.pod("server", 1, PINGPONG.format(""), "node1"), phases=("Running",))
        wait(lambda: PORT in self.within("server", "cat", "/proc/net/tcp", "/proc/net/tcp6"), 20)
        rules = "add table inet weft\nadd chain inet weft ingress { type filter hook input priority 0; }\n" \
                "add rule inet weft ingress meta l4proto udp drop\n"
        self.cluster.run("nsenter", "-t", self.process_of("server"), "--net", "nft", "-f", "-", stdin=rules)
        address = self.cluster.pod("server")["status"]["podIP"]
        self.start(self.pod("client", 1, PINGPONG.format(address), "node2",
                            env={"WEFT_DEAD_AFTER": "1s", "FI_LOG_LEVEL": "warn"}))
        end, log = self.ended("client"), self.cluster.logs("client")
        self.check(end == "Failed" and "(15)" in log, "UDP forbidden by a policy: completion code 15, never a response",
                   lambda: self.about("client"))
        said = self.weft("logs", input=log)
        self.check(said.returncode == 1 and "peer-filtered" in said.stdout and "NetworkPolicy" in said.stdout,
                   "weft logs explains that log: peer-filtered", said.stdout)
        self.remove("server", "client")

    def pending(self):
        sleep = "sleep 1000"
        self.start(self.pod("first", 4, sleep), self.pod("second", 4, sleep), phases=("Running",))
        self.cluster.apply(self.pod("third", 4, "exit 0"))
        told = wait(lambda: f"Insufficient {EFA}" in self.events("third"), 20)
        self.check(told and self.cluster.phase("third") == "Pending", f"a third pod is Pending: Insufficient {EFA}",
                   lambda: self.about("third"))
        self.remove("first")
        self.check(self.ended("third") == "Succeeded", "it runs when the first is gone", lambda: self.about("third"))
        self.remove("second", "third")

    def unhealthy(self):
        library = f"{self.cluster.nodes[1].state}/opt/weft/lib/libweft-preload.so"
        os.rename(library, library + ".away")
        gone = wait(lambda: self.cluster.counts() == ["4", "0"], 60)
        self.check(gone and self.cluster.counts("capacity") == ["4", "4"],
                   "a node without the library has 4 cards and 0 to give", self.cluster.counts)
        os.rename(library + ".away", library)
        self.check(wait(lambda: self.cluster.counts() == ["4", "4"], 60), "with it again 4", self.cluster.counts)

    def real_cards(self):
        """A plugin of real cards, over files of a p4d.24xlarge that the node has instead of cards."""
        node, resource = self.cluster.nodes[1], "example.com/efa"
        folder = f"{node.state}/opt/machine"
        tree = machines.machine("p4d.24xlarge")
        machines.write(tree, folder)
        made = self.cluster.kubectl("create", "--dry-run=client", "-o", "json", "-f", f"{DEPLOY}/plugin-efa.yaml").stdout
        plugin = json.loads(made)
        plugin["metadata"]["name"] = "real"
        plugin["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] = "real"
        template = plugin["spec"]["template"]
        template["metadata"]["labels"]["app.kubernetes.io/instance"] = "real"
        # No folder in /dev of this machine.
        template["spec"]["volumes"] = [v for v in template["spec"]["volumes"] if v["name"] != "infiniband"] + [
            {"name": "machine", "hostPath": {"path": "/opt/machine"}}]
        container = template["spec"]["containers"][0]
        container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] != "infiniband"] + [
            {"name": "machine", "mountPath": "/machine", "readOnly": True}]
        arguments = container["args"]
        arguments[arguments.index(EFA)] = resource
        arguments += ["--root", "/machine", "--check-interval", "1s"]
        self.cluster.apply(plugin)
        self.cluster.kubectl("label", "--overwrite", "node", node.name, "weft-efa=real")
        self.check(wait(lambda: self.cluster.counts(resource=resource) == [None, "4"], 60),
                   "deploy/kubernetes/plugin-efa.yaml, over files of a p4d.24xlarge: 4 real cards", self.plugin_log)
        state = next(f"{folder}/{path}" for path in sorted(tree) if path.endswith("/ports/1/state") and "infiniband" in path)
        with open(state, encoding="ascii") as file:
            up = file.read()
        replace(state, "1: DOWN\n")
        self.check(wait(lambda: self.cluster.counts(resource=resource) == [None, "3"], 30)
                   and self.cluster.counts("capacity", resource) == [None, "4"],
                   "the port of one goes down: 4 cards, 3 to give", lambda: self.cluster.counts(resource=resource))
        replace(state, up)
        self.check(wait(lambda: self.cluster.counts(resource=resource) == [None, "4"], 30), "it comes up again: 4")
        self.cluster.kubectl("delete", "daemonset", "-n", "kube-system", "real")
        self.cluster.kubectl("label", "--overwrite", "node", node.name, "weft-efa=software")
        self.check(wait(lambda: self.cluster.counts() == ["4", "4"], 60), "the plugin of software cards is back",
                   self.cluster.counts)

    def restart(self):
        node, show = self.cluster.nodes[0], "env | grep ^WEFT_VISIBLE="
        self.start(self.pod("keeper", 2, "sleep 1000", node.name), phases=("Running",))
        before = self.cluster.pod("keeper")["status"]["containerStatuses"][0]
        node.stop_kubelet()
        time.sleep(1)
        node.start_kubelet()
        mark = time.time()
        ready = wait(lambda: registered_since(self.cluster, node, mark), 60)
        self.check(ready and wait(lambda: self.cluster.counts()[0] == "4", 60), "kubelet restarted: the plugin registers again",
                   self.plugin_log)
        after = self.cluster.pod("keeper")["status"]["containerStatuses"][0]
        self.check(after["containerID"] == before["containerID"] and not after["restartCount"]
                   and "provider: efa" in self.within("keeper", "fi_info", "-p", "efa"),
                   "the pod that ran meanwhile runs, and has its cards", lambda: self.about("keeper"))
        self.start(self.pod("rest", 2, show, node.name))
        end = self.ended("rest")
        had, rest = self.within("keeper", "sh", "-c", show), self.cluster.logs("rest")
        cards = [set(text.strip().rpartition("=")[2].split(",")) for text in (had, rest)]
        self.check(end == "Succeeded" and set.union(*cards) == set("0123") and not set.intersection(*cards),
                   "a new pod gets the two cards that are left", had, rest, lambda: self.about("rest"))
        self.remove("keeper", "rest")

    def examples(self):
        kubectl = self.cluster.kubectl
        kubectl("apply", "-f", f"{DEPLOY}/examples/pingpong.yaml")
        done = wait(lambda: self.cluster.get("job", "pingpong-client")["status"].get("succeeded"), 120)
        log = kubectl("logs", "job/pingpong-client", check=False).stdout
        nodes = {pod["spec"]["nodeName"] for pod in self.cluster.get("pods", "-l", "app=pingpong")["items"]}
        self.check(done and len(nodes) == 2 and "1m" in log, "examples/pingpong.yaml: two jobs on two nodes complete", log,
                   lambda: kubectl("describe", "pods").stdout)
        kubectl("delete", "-f", f"{DEPLOY}/examples/pingpong.yaml", "--grace-period=0", "--force", check=False)

    def metrics(self):
        """As Prometheus would read them: by the pods' annotations."""
        self.start(self.pod("busy", 3, "sleep 1000", "node1"), phases=("Running",))
        text = ""
        for pod in self.cluster.get("pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=weft-device-plugin")["items"]:
            port = pod["metadata"]["annotations"]["prometheus.io/port"]
            with urllib.request.urlopen(f"http://{pod['status']['podIP']}:{port}/metrics", timeout=10) as answer:
                text += answer.read().decode()
        said = re.findall(r"^weft_device_plugin_allocated_devices_total\S* (\d+)", text, re.M)
        self.check(len(said) == 2 and max(map(int, said)) >= 3, "metrics of both plugins", text)
        self.remove("busy")

    def mpi(self):
        """examples/mpijob.yaml, its pods made by hand as the MPI operator makes them: keys, host file, ssh."""
        key, archive = f"{self.state}/id", f"{self.state}/mpi.tar"
        for path in (key, f"{self.state}/host"):
            self.cluster.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
        layer = image.layer_of_mpi(f"{self.build}/tests/e2e/mpi_mix", f"{self.cluster.kube}/debian", f"{self.state}/host")
        image.archive(archive, "weft-mpi:0.1.0", layer, Cmd=["/bin/sh"])
        for node in self.cluster.nodes:
            node.ctr("images", "import", archive, check=True)
        self.know_kinds()
        job = json.loads(self.cluster.kubectl("apply", "--dry-run=server", "-o", "json", "-f",
                                              f"{DEPLOY}/examples/mpijob.yaml").stdout)
        replicas = job["spec"]["mpiReplicaSpecs"]
        self.secret(key)
        names = ["worker-0", "worker-1"]
        self.start(*(self.of_operator(name, replicas["Worker"], f"node{number}") for number, name in enumerate(names, 1)),
                   phases=("Running",))
        hosts = "".join(f"{self.cluster.pod(name)['status']['podIP']} slots={job['spec']['slotsPerWorker']}\n" for name in names)
        launcher = self.of_operator("launcher", replicas["Launcher"], "node1")
        launcher["spec"]["containers"][0]["env"] = [
            {"name": "OMPI_MCA_orte_default_hostfile", "value": "/tmp/hosts"},
            {"name": "OMPI_MCA_orte_keep_fqdn_hostnames", "value": "true"},
            {"name": "OMPI_MCA_plm_rsh_args", "value": "-o ConnectionAttempts=10"}]
        command = launcher["spec"]["containers"][0].pop("command")
        launcher["spec"]["containers"][0]["command"] = ["sh", "-c", f"echo '{hosts}' >/tmp/hosts; exec \"$@\"", "sh", *command]
        self.start(launcher)
        end, log = self.ended("launcher", 120), self.cluster.logs("launcher")
        self.check(end == "Succeeded" and log.count("ok") > 5, "examples/mpijob.yaml: Open MPI, 4 processes in two pods, data checked",
                   log, lambda: self.about(*names))
        self.remove("launcher", *names)

    def secret(self, key):
        files = {}
        for name, path in (("id_ed25519", key), ("authorized_keys", key + ".pub")):
            with open(path, encoding="ascii") as file:
                files[name] = file.read()
        self.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ssh"}, "stringData": files})

    @staticmethod
    def of_operator(name, replica, node):
        spec = replica["template"]["spec"]
        spec = json.loads(json.dumps(spec))
        spec.update(restartPolicy="Never", terminationGracePeriodSeconds=0, nodeSelector={"kubernetes.io/hostname": node})
        spec.setdefault("volumes", []).append({"name": "ssh", "secret": {"secretName": "ssh", "defaultMode": 0o600}})
        spec["containers"][0].setdefault("volumeMounts", []).append({"name": "ssh", "mountPath": "/root/.ssh"})
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    def toolkit(self):
        """What weft says of this cluster, through kubectl."""
        kubectl = self.cluster.kubectl
        kubectl("label", "node", "--all", "node.kubernetes.io/instance-type=p4d.24xlarge")
        self.start(self.pod("busy", 3, "sleep 1000", "node1"), phases=("Running",))
        nodes = json.loads(self.weft("nodes", "--json").stdout)["nodes"]
        cards = [node["resources"][EFA] for node in nodes]
        self.check([(one["requested"], one["allocatable"], one["expected"]) for one in cards] == [(3, 4, 4), (0, 4, 4)]
                   and all(node["plugin"] == "ready" and node["trouble"] is None for node in nodes),
                   "weft nodes: 3 of 4 and 0 of 4 cards requested, as many as expected, plugins ready", nodes)
        table = self.weft("info", "--k8s").stdout
        self.check([row.split()[-2:] for row in table.splitlines()[1:]] == [["4", "4"]] * 2, "weft info --k8s: 4, expected 4", table)
        self.remove("busy")
        kubectl("label", "node", "--all", "node.kubernetes.io/instance-type-")

    def weft(self, *words, **options):
        """With the kubectl of this cluster."""
        env = {**os.environ, "KUBECONFIG": self.cluster.kubeconfig}
        return subprocess.run([f"{self.build}/weft", *words], env=env, capture_output=True, text=True, check=False, **options)

    # Dry runs on the server

    def know_kinds(self):
        for kind, plural in (("MPIJob", "mpijobs"), ("RayJob", "rayjobs")):
            self.cluster.apply(resource_of(kind, plural))
        wait(lambda: all(plural in self.cluster.kubectl("api-resources").stdout for plural in ("mpijobs", "rayjobs")), 20)

    def dry_run(self):
        self.know_kinds()
        for path in sorted(glob.glob(f"{DEPLOY}/*.yaml") + glob.glob(f"{DEPLOY}/examples/*.yaml")):
            with open(path, encoding="utf-8") as file:
                said = self.accepted(file.read())
            self.check(not said, f"accepted: deploy/kubernetes/{os.path.relpath(path, DEPLOY)}", said)
        for kind in ("pod", "burnin", "mpijob", "rayjob"):
            made, said = 0, ""
            for instance in TYPES:
                text = self.manifest(kind, instance, "image=example") or self.manifest(
                    kind, instance, "image=example", "command=train.py") or self.manifest(
                    kind, instance, "image=example", "command=train.py", "processes=96")
                made += bool(text)
                said += text and self.accepted(text)
            self.check(made and not said, f"accepted: weft manifest {kind}, of {made} instance types", said)
        pod = self.pod("spoilt", 1, "true")
        pod["spec"]["containers"][0]["resources"] = {"limits": {EFA: "2"}, "requests": {EFA: "1"}}
        self.check("must be equal" in self.accepted(json.dumps(pod)), "refused: a request that is not the limit")

    def manifest(self, kind, instance, *settings):
        """'' where weft has none: it says what is missing, or that it makes no sense for that type."""
        words = [word for setting in settings for word in ("--set", setting)]
        done = self.weft("manifest", kind, "--instance", instance, "--nodes", "2", *words)
        return done.stdout if done.returncode == 0 else ""

    def accepted(self, text):
        """'' or what the API server objects to. Of kinds that it does not know by itself, their pods are shown to it."""
        done = self.cluster.kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", stdin=text, check=False)
        if done.returncode:
            return done.stderr
        said = ""
        for one in objects(done.stdout):
            if one["kind"] in ("MPIJob", "RayJob"):
                templates = list(pod_templates(one["spec"]))
                items = [{"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": f"of-{number}"}, "template": template}
                         for number, template in enumerate(templates)]
                said += self.accepted(json.dumps({"apiVersion": "v1", "kind": "List", "items": items})) if items else \
                    f"no pods in a {one['kind']}\n"
        return said

    def stop(self):
        self.cluster.kubectl("delete", "-f", f"{DEPLOY}/plugin.yaml")
        self.check(wait(lambda: self.cluster.counts() == ["0", "0"], 60), "without the plugin nodes have no card to give",
                   self.cluster.counts)


def replace(path, text):
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.rename(path + ".new", path)


def registered_since(cluster, node, mark):
    """Kubelet makes its own folder anew; what is in there since was put there by the plugin."""
    folder = f"{node.state}/var/lib/kubelet/device-plugins"
    sockets = [f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".sock") and name != "kubelet.sock"]
    return any(os.stat(path).st_mtime > mark - 1 for path in sockets) and cluster.counts()


def objects(text):
    """Of kubectl's output: one after the other, or a list of them."""
    while text := text.lstrip():
        one, end = json.JSONDecoder().raw_decode(text)
        yield from one.get("items", [one])
        text = text[end:]


def pod_templates(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "template" and "spec" in inner:
                yield inner
            else:
                yield from pod_templates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pod_templates(inner)


def resource_of(kind, plural):
    """That there is such a kind, and nothing of what is in it."""
    group, version = {"MPIJob": ("kubeflow.org", "v2beta1"), "RayJob": ("ray.io", "v1")}[kind]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                     "versions": [{"name": version, "served": True, "storage": True,
                                   "schema": {"openAPIV3Schema": anything}}]}}


NEEDED = ["nodes", "plugin"]
ALL = NEEDED + ["fi_info", "pairs", "identities", "policy", "pending", "unhealthy", "real_cards", "restart", "examples", "metrics",
                "mpi", "toolkit", "dry_run", "stop"]


def versions(cluster):
    with open(cluster.program("version"), encoding="utf-8") as file:
        said = [file.read().strip()]
    for words in (["containerd", "--version"], ["runc", "--version"], ["etcd", "--version"], ["fi_info", "--version"]):
        said.append(cluster.run(*words).stdout.splitlines()[0].replace("github.com/containerd/", ""))
    return "; ".join(said)


def main(build, kube, state, run_id, *names):
    for name in names:
        if name not in ALL:
            print(f"kube: no step {name}; there are {', '.join(ALL)}", file=sys.stderr)
            return 2
    begun = time.monotonic()
    steps = Steps(build, kube, state, run_id)
    try:
        print(versions(steps.cluster), flush=True)
        steps.cluster.start_control()
    except (RuntimeError, OSError) as error:
        print(f"kube: {error}", file=sys.stderr)
        return 2
    for name in ALL if not names else NEEDED + [one for one in names if one not in NEEDED]:
        try:
            getattr(steps, name)()
        except Exception:  # One step that breaks is a failed check, and others go on.
            steps.check(False, f"{name}: broke off", traceback.format_exc())
            if name in NEEDED:
                break
    print(f"in {time.monotonic() - begun:.0f} s")
    print(f"{steps.passed} passed, {steps.failed} failed, 0 skipped")
    return 1 if steps.failed else 0
