# SPDX-License-Identifier: BSD-2-Clause
"""test_manifest.py WEFT MAN: weft manifest from outside: what it asks for and refuses, and how it writes files.

That the manifests themselves are right is judged in tests/manifest."""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from e2e import Tap  # noqa: E402

WEFT = os.path.abspath(sys.argv[1])
KINDS = ["bottlerocket", "burnin", "device-plugin", "dockerfile", "eksctl", "launch-template",
         "mpijob", "parallelcluster", "placement-group", "pod", "rayjob", "run-instances",
         "security-group", "skypilot", "slurm", "terraform", "torchrun"]
tap = Tap()


def weft(*args, **more):
    return subprocess.run([WEFT, "manifest", *args], capture_output=True, text=True, timeout=60,
                          check=False, **more)


def check(name, args, status, out, err):
    """`out` and `err` are patterns; "-": nothing at all."""
    got = weft(*args)

    def fits(pattern, text):
        return text == "" if pattern == "-" else re.search(pattern, text, re.M) is not None

    tap.check(got.returncode == status and fits(out, got.stdout) and fits(err, got.stderr), name,
              f"exit {got.returncode}", got.stdout, got.stderr)
    if status == 2:
        tap.check(got.stderr.count("\n") == 1, name + ": one line", got.stderr)


def usage():
    check("nothing", [], 2, "-", "name a kind, or --list")
    check("help", ["--help"], 0, "^usage: weft manifest KIND", "-")
    check("no such kind", ["mpijbo"], 2, "-", "did you mean mpijob\\?")
    check("nothing like it", ["xxxxxxxx"], 2, "-", "no such kind: xxxxxxxx; see --list")
    check("the kind after its options", ["--nodes", "2", "pod"], 2, "-", "the kind comes first")
    check("two kinds", ["pod", "mpijob"], 2, "-", "no such argument: mpijob")
    check("list and kind", ["pod", "--list"], 2, "-", "stands alone")
    check("keys and a request", ["pod", "--keys", "--nodes", "2"], 2, "-", "--keys goes with")
    check("JSON of a manifest", ["pod", "--json"], 2, "-", "--json goes with")
    check("no nodes", ["pod", "--nodes", "0"], 2, "-", "from 1 to 10000")
    check("too many nodes", ["pod", "--nodes", "10001"], 2, "-", "from 1 to 10000")
    check("a family", ["pod", "--instance", "p5"], 2, "-", "did you mean p5.48xlarge\\?")
    check("a key that is none", ["pod", "--set", "imgae=x"], 2, "-", "did you mean image\\?")
    check("a key of another kind", ["pod", "--set", "zone=us-west-2a"], 2, "-",
          "pod has no key zone")
    check("no key", ["pod", "--set", "image"], 2, "-", "wants KEY=VALUE")
    check("an empty value", ["pod", "--set", "image="], 2, "-", "image has to be")


def asking():
    check("an instance type is asked for", ["mpijob"], 2, "-",
          "^weft manifest mpijob: please say --instance TYPE, --nodes N$")
    check("nodes are asked for", ["mpijob", "--instance", "p5.48xlarge"], 2, "-",
          "please say --nodes N$")
    check("all that is missing, in one go", ["eksctl", "--instance", "p5.48xlarge"], 2, "-",
          "say --nodes N, --set zone=us-west-2a, --set zone2=us-west-2b$")
    check("without GPUs, the number of processes",
          ["mpijob", "--instance", "hpc7a.96xlarge", "--nodes", "2"], 2, "-", "--set processes=96")
    check("with GPUs they are counted", ["mpijob", "--instance", "p5.48xlarge", "--nodes", "2",
                                         "--set", "processes=4"], 2, "-",
          "processes means nothing here")
    check("unknown is refused", ["pod", "--instance", "p6e-gb300.36xlarge"], 2, "-",
          "no source states of p6e-gb300.36xlarge how many EFA cards it has")
    check("derived is not enough", ["pod", "--instance", "trn2u.48xlarge"], 2, "-",
          "how many EFA cards")
    check("no sense is refused", ["torchrun", "--instance", "hpc7a.96xlarge", "--nodes", "2"], 2,
          "-", "no torchrun for it: .*hpc7a.96xlarge has none")
    zones = ["eksctl", "--instance", "p5.48xlarge", "--nodes", "2", "--set", "zone=us-west-2a"]
    check("twice the same zone", zones + ["--set", "zone2=us-west-2a"], 2, "-", "another zone than")
    check("zones of two regions", zones + ["--set", "zone2=us-east-1b"], 2, "-",
          "different regions")
    pod = ["pod", "--set", "image=a", "--instance"]
    check("more huge pages than a node has", pod + ["p5.4xlarge", "--set", "hugepages=5120Mi"], 2,
          "-", "hugepages=5120Mi is more than the 3522Mi of a node")
    check("all memory of a node", pod + ["c5n.9xlarge", "--set", "memory=96Gi"], 2, "-",
          "memory=96Gi is not less than the 90382Mi of a node")
    check("what fits", pod + ["c5n.9xlarge", "--set", "memory=88Gi"], 0, "memory: 88Gi", "-")
    check("what nobody knows can be said", pod + ["p6e-gb300r.36xlarge", "--set", "memory=88Gi",
                                                  "--set", "hugepages=2Gi"], 0,
          "vpc.amazonaws.com/efa: 2$", "-")
    check("a security group needs no type", ["security-group", "--set", "region=eu-west-1",
                                             "--set", "vpc=vpc-0123456789abcdef0"], 0,
          "authorize-security-group-egress", "-")


def hostile():
    """Nothing that a value may hold ends a string, a line or a command."""
    values = {
        "image": ['x"', "x'", "x$(id)", "x`id`", "x\ny", "x: y", "x y", "-x", "x\\", "é", "a" * 300],
        "name": ['a"', "a\nb", "A", "-a", "a-", "a.b", "a" * 41, "1a", "a$b", "a: b"],
        "command": ["a; b", "a && b", "a | b", "$(a)", "`a`", 'a "b"', "a 'b'", "a\nb", "a\\", " a",
                    "-a", "a > b", "a #b", "a {b}", "a * b", "a ~b"],
        "memory": ["1", "0Gi", "-1Gi", "1.5Gi", "1Gi ", "1gi", "9999999999Gi"],
        "hugepages": ["3Mi", "5121Mi", "5120", "5120MiB"],
    }
    for key, bad in values.items():
        for value in bad:
            got = weft("pod", "--instance", "p5.48xlarge", "--set", f"{key}={value}")
            tap.check(got.returncode == 2 and got.stdout == ""
                      and f"{key} has to be" in got.stderr and got.stderr.count("\n") == 1, f"{key}: {value[:20]!r}", got.stderr)
    for key, bad in {"zone": ["us-west-2", "us-west-2A", "us-west-2a;", "a", ""],
                     "vpc": ["vpc-1", "vpc-0123456789abcdef0\n", "vpc-0123456789ABCDEF0"],
                     "region": ["us-west", "us-west-2a", "us west-2", "-1"],
                     "ssh": ["1.2.3.4", "1.2.3.4/33", "1.2.3/8", "x/8", "0.0.0.0/0x0"]}.items():
        kind = "eksctl" if key == "zone" else "security-group"
        for value in bad:
            got = weft(kind, "--set", f"{key}={value}")
            tap.check(got.returncode == 2 and f"{key} has to be" in got.stderr,
                      f"{key}: {value!r}", got.stderr)
    got = weft("torchrun", "--instance", "p5.48xlarge", "--nodes", "2", "--set",
               "command=train.py --lr=0.1 --name=a:b,c+d%e^f@g")
    words = shlex.split(got.stdout.split("\\\n")[-1])
    tap.check(words == ["train.py", "--lr=0.1", "--name=a:b,c+d%e^f@g"],
              "what is accepted stands for itself", got.stdout, got.stderr)


def twins():
    """Files that well known guides show, with what is wrong in them put right."""
    region, place = ["--set", "region=us-west-2"], ["--set", "zone=us-west-2a", "--set", "zone2=us-west-2b"]
    subnets = ["--set", "subnet=subnet-0123456789abcdef0", "--set", "vpc=vpc-0123456789abcdef0",
               "--set", "subnet2=subnet-0fedcba9876543210"]
    launch = region + subnets[:2] + ["--set", "ami=ami-0123456789abcdef0", "--set",
                                     "security-group=sg-0123456789abcdef0", "--set", "key-name=my-key"]
    program = ["--set", "processes=96", "--set", "command=/opt/app/run --input simulation.dat"]
    rows = [
        # kind, type, nodes, more, patterns that have to be there, patterns that may not
        ("skypilot", "p4d.24xlarge", 2, [], ["accelerators: \"A100:8\"", "efa: 4$", "hugepages-2Mi: ",
                                             "NCCL_NET=Socket"],
         ["FI_PROVIDER=", "NCCL_BUFFSIZE", "/opt/aws-ofi-nccl", "LD_LIBRARY_PATH="]),
        ("eksctl", "p5.48xlarge", 2, place + ["--set", "kubernetes=1.33"],
         ['    availabilityZones: \\["us-west-2a"\\]$', "efaEnabled: true", 'version: "1.33"'], []),
        ("terraform", "p5.48xlarge", 2, subnets, ["enable_efa_support = true", "AL2023_x86_64_NVIDIA"], []),
        ("rayjob", "p5.48xlarge", 2, ["--set", "image=a", "--set", "command=b"],
         ["efa: 32$", "gpu: 8$", "hugepages-2Mi: 5120Mi$"], []),
        ("bottlerocket", "p5.48xlarge", 2, place[:2], ['vm.nr_hugepages: "21121"'], ["5128"]),
        ("dockerfile", "p5.48xlarge", None, [], ["^FROM nvcr.io/nvidia/pytorch:24.12-py3$", "--enable-ngc"],
         ["libfabric-dev", "git clone"]),
        ("dockerfile", "p5.48xlarge", None, ["--set", "installer=1.48.0"], ["--skip-kmod"], ["--enable-ngc"]),
        ("mpijob", "p5.48xlarge", 2, [], ['- "16"$', "slotsPerWorker: 8$", "efa: 32$"],
         ["\\$PATH:", "hostPath", "NCCL_TUNER", "32000Mi"]),
        ("security-group", None, None, region + subnets[2:4] + ["--set", "ssh=203.0.113.0/24"],
         ["authorize-security-group-ingress", "authorize-security-group-egress", "--port 22"], []),
        ("placement-group", None, None, region, ["--strategy cluster"], []),
        ("run-instances", "hpc6a.48xlarge", 4, launch,
         ['NetworkCardIndex=0,DeviceIndex=0,InterfaceType=efa,.*"$', '--count "4"'], ["efa-only,"]),
        ("slurm", "hpc6a.48xlarge", 4, program, ["--nodes=4", "--ntasks-per-node=96", "mtl=ofi"],
         ["FI_EFA_USE_DEVICE_RDMA", "FI_PROVIDER"]),
        ("torchrun", "p4d.24xlarge", 4, ["--set", "command=train.py --distributed"],
         ["--nproc-per-node=8", "--nnodes=4"], ["FI_EFA_USE_DEVICE_RDMA", "NCCL_ALGO=", "NCCL_PROTO="]),
        ("parallelcluster", "hpc6a.48xlarge", 32, region + subnets[:2] + ["--set", "head=c6a.xlarge"],
         ["MaxCount: 32", "Enabled: true"], ["subnet-0abc123"]),
    ]
    for kind, instance, nodes, more, there, not_there in rows:
        args = [kind] + (["--instance", instance] if instance else []) + more
        got = weft(*args, *(["--nodes", str(nodes)] if nodes else []))
        missing = [p for p in there if not re.search(p, got.stdout, re.M)]
        wrong = [p for p in not_there if re.search(p, got.stdout, re.M)]
        tap.check(got.returncode == 0 and not missing and not wrong, f"the right {kind}", missing, wrong,
                  got.stdout, got.stderr)


def lists():
    got = json.loads(weft("--list", "--json").stdout)
    tap.check([k["kind"] for k in got] == KINDS, "all kinds, in order", got)
    text = weft("--list").stdout.splitlines()
    tap.check([line.split()[0] for line in text] == KINDS, "the same as text", text)
    with open(sys.argv[2], encoding="ascii") as file:
        page = re.findall(r"^\.It Cm (.*)\n(.*)$", file.read(), re.M)
    tap.check(page == [(k["kind"], k["what"]) for k in got], "the manual page", page)
    for kind in KINDS:
        keys = json.loads(weft(kind, "--keys", "--json").stdout)
        tap.check((keys or kind == "device-plugin") and all(k["what"] and k["example"] for k in keys), f"{kind}: keys", keys)
    keys = {k["key"]: k for k in json.loads(weft("eksctl", "--keys", "--json").stdout)}
    tap.check(keys["zone"]["required"] and not keys["kubernetes"]["required"]
              and keys["volume"]["default"] == "500", "what is required, optional, standard", keys)
    keys = {k["key"]: (k["required"], k["depends_on_type"])
            for k in json.loads(weft("mpijob", "--keys", "--json").stdout)}
    tap.check(keys["command"] == (True, True) and keys["processes"] == (True, True)
              and keys["image"] == (True, True) and keys["memory"] == (False, False)
              and not keys["name"][0],
              "what depends on the type", keys)
    got = weft("eksctl", "--instance", "p5.48xlarge", "--nodes", "2", "--set", "zone=us-west-2a",
               "--set", "zone2=us-west-2b", "--set", "kubernetes=1.30", "--set", "name=mine")
    tap.check('version: "1.30"' in got.stdout and 'name: "mine"' in got.stdout
              and 'region: "us-west-2"' in got.stdout, "values arrive", got.stdout, got.stderr)


def files():
    request = ["placement-group", "--set", "region=us-west-2"]
    with tempfile.TemporaryDirectory() as folder:
        os.umask(0o027)
        script = os.path.join(folder, "group.sh")
        got = weft(*request, "-o", script)
        tap.check(got.returncode == 0 and got.stdout == "", "-o prints nothing", got.stderr)
        with open(script, encoding="ascii") as file:
            tap.check(file.read() == weft(*request).stdout, "the file has what is printed")
        tap.check(os.stat(script).st_mode & 0o777 == 0o750, "a script can be executed",
                  oct(os.stat(script).st_mode))
        os.chmod(script, 0o600)
        weft(*request, "-o", script)
        tap.check(os.stat(script).st_mode & 0o777 == 0o600, "a file keeps its mode")
        os.symlink("group.sh", os.path.join(folder, "link"))
        with open(script, "w", encoding="ascii"):
            pass
        weft(*request, "-o", os.path.join(folder, "link"))
        tap.check(os.path.islink(os.path.join(folder, "link")) and os.path.getsize(script) > 100,
                  "through a link")
        os.unlink(os.path.join(folder, "link"))
        got = weft("placement-group", "-o", script)
        with open(script, encoding="ascii") as file:
            tap.check(got.returncode == 2 and file.read() == weft(*request).stdout,
                      "a refusal leaves the file alone", got.stderr)
        image = ["pod", "--instance", "p5.48xlarge", "--set", "image=a", "-o"]
        weft(*image, os.path.join(folder, "pod.yaml"))
        tap.check(os.stat(os.path.join(folder, "pod.yaml")).st_mode & 0o777 == 0o640,
                  "what is no script cannot")
        check("a folder", request + ["-o", folder], 2, "-", "cannot write .*: Is a directory")
        check("a device", request + ["-o", "/dev/full"], 2, "-", "cannot write /dev/full")
        check("no such folder", request + ["-o", folder + "/no/x"], 2, "-", "No such file")
        check("no name", request + ["-o"], 2, "-", "-o needs a value")
        tap.check(sorted(os.listdir(folder)) == ["group.sh", "pod.yaml"], "nothing is left beside",
                  os.listdir(folder))
        # More than the limit lets through: not even a part may be there.
        got = subprocess.run(["sh", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$0" manifest "$@"', WEFT,
                              "run-instances", "--instance", "p5.48xlarge", "--nodes", "2",
                              "--set", "region=us-west-2", "--set", "ami=ami-0123456789abcdef0",
                              "--set", "subnet=subnet-0123456789abcdef0", "--set",
                              "security-group=sg-0123456789abcdef0",
                              "-o", os.path.join(folder, "run.sh")],
                             capture_output=True, text=True, timeout=60, check=False)
        tap.check(got.returncode == 2 and sorted(os.listdir(folder)) == ["group.sh", "pod.yaml"],
                  "a full disk leaves no half file", got.stderr, os.listdir(folder))
    with open("/dev/full", "w", encoding="ascii") as full:
        got = subprocess.run([WEFT, "manifest", *request], stdout=full, stderr=subprocess.PIPE,
                             text=True, timeout=60, check=False)
    tap.check(got.returncode == 2, "a full disk is no success", got.stderr)


usage()
asking()
hostile()
twins()
lists()
files()
tap.done()
