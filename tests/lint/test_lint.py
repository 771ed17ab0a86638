#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_lint.py WEFT DOCS: `weft lint` from outside. First the documents in DOCS, which quote files as well-known guides
do, with their errors: exactly these are found. Then, rule by rule, a file that breaks it beside one that does not; the
forms of output; --fix; and files that are large or hostile."""
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import time

WEFT, DOCS = map(os.path.abspath, sys.argv[1:3])
count = 0


def report(good, name, *more):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        for line in more:
            print("#", line, flush=True)


def weft(*arguments, **kw):
    return subprocess.run([WEFT, "lint", *arguments], capture_output=True, text=True, check=False, **kw)


def found(path, *arguments):
    run = weft("--json", *arguments, path)
    return run, [f"{f['line']}:{f['column']} {f['id']}" for f in json.loads(run.stdout)["findings"]]


# What the guides get wrong, by document. Everything else in them is right, and nothing is said of it.
GUIDES = {
    "skypilot.md": ["39:12 path-plugin", "41:12 env-deprecated", "42:12 env-deprecated", "43:12 env-deprecated",
                    "43:12 path-plugin", "47:14 env-tcp", "54:7 env-tcp"],
    "handbook.md": [],
    "agent_cluster.yaml": [],
    "agent_eks.tf": [],
    "agent_worker.yaml": [],
    "agent_pages.yaml": ["18:28 hugepages"],
    "agent.dockerfile": ["1:6 image-plugin"],
    "agent_verify.sh": ["1:31 plugin-name"],
    "agent.env": ["2:1 env-deprecated", "4:1 env-noop", "5:1 env-deprecated"],
    "eks.md": ["52:29 env-expand", "54:29 env-expand", "54:29 path-plugin", "58:29 env-deprecated", "60:29 env-deprecated",
               "62:29 env-deprecated", "62:29 path-plugin", "71:21 env-tcp"],
    "hpc.md": ["11:1 sg-out", "41:6 env-deprecated", "42:3 path-unknown", "44:6 env-deprecated", "49:8 env-deprecated",
               "50:8 env-deprecated", "51:8 env-deprecated"],
}


def guides():
    for name, wanted in GUIDES.items():
        run, got = found(os.path.join(DOCS, name))
        severe = [f for f in json.loads(run.stdout)["findings"] if f["severity"] in ("warn", "fail")]
        report(sorted(got) == sorted(wanted) and run.returncode == (1 if severe else 0), f"guide: {name}",
               f"wanted {sorted(wanted)}", f"got    {sorted(got)}")


POD = """apiVersion: v1
kind: Pod
metadata: {name: x}
spec:
  nodeSelector:
    node.kubernetes.io/instance-type: "%s"
  containers:
    - name: x
      image: registry.example/x
      resources:
        limits: {%s}
        requests: {%s}
"""


def pod(instance, limits, requests=None):
    return POD % (instance, limits, limits if requests is None else requests)


EFA = "vpc.amazonaws.com/efa"
GPUS = "nvidia.com/gpu: 8, "
JOB = """apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata: {name: x}
spec:
  slotsPerWorker: %s
  mpiReplicaSpecs:
    Launcher:
      replicas: 1
      template: {spec: {containers: [{name: l, image: i, command: [%s]}]}}
    Worker:
      replicas: 2
      template: {spec: {containers: [{name: w, image: i, resources: {limits: {nvidia.com/gpu: 8}}}]}}
"""
EKS = """apiVersion: eksctl.io/v1alpha5
kind: ClusterConfig
metadata: {name: x, region: us-west-2}
managedNodeGroups:
  - name: x
    instanceType: p5.48xlarge
%s"""
QUEUE = """SlurmQueues:
  - Name: x
    ComputeResources:
      - Name: x
        InstanceType: %s
        Efa: {Enabled: true}
%s"""


def launch(interfaces, more=""):
    return '{"InstanceType": "p4d.24xlarge", "NetworkInterfaces": [' + ", ".join(interfaces) + "]" + more + "}"


def nic(card, device, kind="efa-only", more=""):
    return f'{{"NetworkCardIndex": {card}, "DeviceIndex": {device}, "InterfaceType": "{kind}"{more}}}'


CARDS = [nic(0, 0, "efa"), nic(1, 1), nic(2, 1), nic(3, 1)]
TF_GROUP = """resource "aws_security_group" "efa" {
  ingress {
    from_port = 0
    to_port   = 0
    protocol  = "-1"
    self      = true
  }
%s}
"""
MODULE = """module "eks" {
  source = "terraform-aws-modules/eks/aws"
  eks_managed_node_groups = {
    x = {
      instance_types     = ["p5.48xlarge"]
      enable_efa_support = true
%s    }
  }
}
"""

# name, file, text that is right or None, text that is wrong, what is found in it
ROWS = [
    ("more cards than the type has", "a.yaml", pod("p5en.48xlarge", GPUS + EFA + ": 16"), pod("p5en.48xlarge", GPUS + EFA + ": 32"),
     ["11 pod-count 32}"]),
    ("some of the cards", "a.yaml", pod("p5.48xlarge", GPUS + EFA + ": 32"), pod("p5.48xlarge", GPUS + EFA + ": 4"), ["11 pod-partial 4}"]),
    ("a SageMaker type", "a.yaml", pod("ml.p5.48xlarge", GPUS + EFA + ": 32"), pod("ml.p5.48xlarge", GPUS + EFA + ": 33"), ["11 pod-count 33}"]),
    ("a type without EFA", "a.yaml", pod("c5n.18xlarge", EFA + ": 1"), pod("c5.18xlarge", EFA + ": 1"), ["6 instance-no-efa \"c5.18xlarge\""]),
    ("more GPUs than there are", "a.yaml", None, pod("p4d.24xlarge", "nvidia.com/gpu: 9, " + EFA + ": 4"), ["11 pod-count 9, vpc.amazona"]),
    ("a request that is no limit", "a.yaml", pod("c5n.18xlarge", EFA + ": 1"), pod("c5n.18xlarge", EFA + ": 1", EFA + ": 2"),
     ["12 pod-equal 2}"]),
    ("a request without a limit", "a.yaml", None, pod("c5n.18xlarge", "cpu: 1", EFA + ": 1"), ["12 pod-equal vpc.amazonaws."]),
    ("half a card", "a.yaml", None, pod("c5n.18xlarge", EFA + ": 0.5"), ["11 pod-count 0.5}"]),
    ("huge pages without memory", "a.yaml", pod("p5.48xlarge", "hugepages-2Mi: 5120Mi, memory: 1Gi"), pod("p5.48xlarge", "hugepages-2Mi: 5120Mi"),
     ["11 pod-hugepages hugepages-2Mi:"]),
    ("more huge pages than there are", "a.yaml", None, pod("p5.4xlarge", "hugepages-2Mi: 5120Mi, memory: 1Gi"), ["11 pod-count 5120Mi, memory"]),
    ("Karpenter and huge pages", "a.yaml", None,
     pod("p5.48xlarge", "hugepages-2Mi: 1Gi, memory: 1Gi").replace("  containers:", "    karpenter.sh/nodepool: x\n  containers:"),
     ["12 pod-karpenter hugepages-2Mi:"]),
    ("all GPUs and no EFA", "a.yaml", None,
     pod("p5.48xlarge", "nvidia.com/gpu: 8").replace("      resources:", "      env: [{name: NCCL_DEBUG, value: INFO}]\n      resources:"),
     ["12 pod-no-efa nvidia.com/gpu"]),
    ("the node's /dev/infiniband", "a.yaml", pod("c5n.18xlarge", EFA + ": 1") + "  volumes: [{name: v, hostPath: {path: /dev/shm}}]\n",
     pod("c5n.18xlarge", EFA + ": 1") + "  volumes: [{name: v, hostPath: {path: /dev/infiniband}}]\n", ["13 pod-hostpath /dev/infiniban"]),
    ("a number that has to be text", "a.yaml", "kind: Pod\napiVersion: v1\nspec: {containers: [{name: x, env: [{name: A, value: '8'}]}]}\n",
     "kind: Pod\napiVersion: v1\nspec: {containers: [{name: x, env: [{name: A, value: 8}]}]}\n", ["3 field-type 8}]}]}"]),
    ("text that has to be a number", "a.yaml", JOB % ("8", ""), JOB % ('"8"', ""), ["5 field-type \"8\""]),
    ("a number that is filled in", "a.yaml", JOB % ("${SLOTS}", ""), JOB % ("eight", ""), ["5 field-type eight"]),
    ("a misspelt field", "a.yaml", None, pod("p5.48xlarge", EFA + ": 32").replace("image:", "imagee:"), ["9 field-unknown imagee:"]),
    ("a misspelt field of an unknown kind", "a.yaml", "apiVersion: x/v1\nkind: X\nspec: {containerss: []}\n", None, []),
    ("a pod in an unknown kind", "a.yaml", None,
     "apiVersion: x/v1\nkind: X\nspec:\n  worker:\n    nodeSelector: {node.kubernetes.io/instance-type: p4d.24xlarge}\n"
     "    containers:\n    - resources: {limits: {" + EFA + ": 5}}\n", ["7 pod-count 5}}"]),
    ("slots and GPUs", "a.yaml", JOB % ("8", ""), JOB % ("4", ""), ["5 mpi-slots 4"]),
    ("processes of an MPIJob", "a.yaml", JOB % ("8", 'mpirun, -np, "16", -N, "8", ./x'), JOB % ("8", 'mpirun, -np, "8", -N, "4", ./x'),
     ["9 mpi-slots \"8\", -N, \"4\",", "9 mpi-slots \"4\", ./x]}]}}"]),
    ("processes with the launcher's own", "a.yaml", JOB.replace("  slots", "  runLauncherAsWorker: true\n  slots") % ("8", 'mpirun, -np, "24", ./x'),
     JOB.replace("  slots", "  runLauncherAsWorker: false\n  slots") % ("8", 'mpirun, -np, "24", ./x'), ['10 mpi-slots "24"']),
    ("a policy that there is not", "a.yaml", None, JOB.replace("  slots", "  runPolicy: {cleanPodPolicy: Sometimes}\n  slots") % ("8", ""),
     ["5 field-value Sometimes}"]),
    ("two zones", "a.yaml", EKS % "    availabilityZones: [a]\n    efaEnabled: true\n", EKS % "    availabilityZones: [a, b]\n    efaEnabled: true\n",
     ["7 aws-zone [a, b]"]),
    ("two subnets", "a.yaml", None, EKS % "    subnets: [a, b]\n    efaEnabled: true\n", ["7 aws-zone [a, b]"]),
    ("a reservation and a placement group", "a.yaml", None,
     EKS % "    efaEnabled: true\n    capacityReservation: {capacityReservationTarget: {capacityReservationID: cr-1}}\n", ["7 aws-reservation true"]),
    ("efaEnabled of a type without", "a.yaml", None, (EKS % "    efaEnabled: true\n").replace("p5.48xlarge", "c5.4xlarge"), ["6 instance-no-efa c5.4xlarge"]),
    ("types that cannot talk", "a.yaml", None,
     (EKS % "    efaEnabled: true\n").replace("instanceType: p5.48xlarge", "instanceTypes: [p4d.24xlarge, p5.48xlarge]"), ["6 aws-types p5.48xlarge]"]),
    ("a version that YAML rounds", "a.yaml", None, (EKS % "").replace("us-west-2}", "us-west-2, version: 1.30}").replace("p5.48", "c5n.18"),
     ["3 field-type 1.30}"]),
    ("huge pages of a node", "a.yaml", None,
     EKS % '    efaEnabled: true\n    bottlerocket: {settings: {kernel: {sysctl: {"vm.nr_hugepages": "5128"}}}}\n', ["8 hugepages \"5128\"}}}}"]),
    ("ParallelCluster: two subnets", "a.yaml", QUEUE % ("p5.48xlarge", "    Networking: {SubnetIds: [a]}\n"),
     QUEUE % ("p5.48xlarge", "    Networking: {SubnetIds: [a, b]}\n"), ["7 aws-zone [a, b]}"]),
    ("ParallelCluster: public addresses", "a.yaml", QUEUE % ("hpc6a.48xlarge", "    Networking: {AssignPublicIp: true}\n"),
     QUEUE % ("p5.48xlarge", "    Networking: {AssignPublicIp: true}\n"), ["7 aws-public-ip true}"]),
    ("ParallelCluster: reserved", "a.yaml", None,
     QUEUE % ("p5.48xlarge", "    CapacityType: CAPACITY_BLOCK\n    Networking: {PlacementGroup: {Enabled: true}}\n"), ["8 aws-reservation true}}"]),
    ("ParallelCluster: no EFA there", "a.yaml", None, QUEUE % ("m5.large", ""), ["5 instance-no-efa m5.large"]),
    ("every card", "a.json", launch(CARDS), launch(CARDS[:3]), ["1 aws-cards [{\"NetworkCard"]),
    ("ENA first, and efa-only", "a.json", launch([nic(0, 0, "interface"), nic(0, 1), nic(1, 0), nic(2, 0), nic(3, 0)]), None, []),
    ("the same card twice", "a.json", None, launch(CARDS[:3] + [nic(2, 1)]), ["1 aws-index {\"NetworkCardI"]),
    ("two EFAs on a card", "a.json", None, launch([CARDS[0], nic(0, 1)] + CARDS[1:]), ["1 aws-index {\"NetworkCardI"]),
    ("a card that is not there", "a.json", None, launch(CARDS[:3] + [nic(4, 1)]), ["1 aws-index {\"NetworkCardI"]),
    ("no address", "a.json", None, launch([nic(0, 0)] + CARDS[1:]), ["1 aws-index {\"NetworkCardI"]),
    ("no first interface", "a.json", None, launch([nic(0, 1), *CARDS[1:]]), ["1 aws-index {\"NetworkCardI"]),
    ("a kind of interface that there is not", "a.json", None, launch([nic(0, 0, "EFA"), *CARDS[1:]]), ["1 field-value \"EFA\"}, {\"Netw"]),
    ("a public address", "a.json", None, launch([nic(0, 0, "efa", ', "AssociatePublicIpAddress": true'), *CARDS[1:]]), ["1 aws-public-ip true}, {\"Netwo"]),
    ("card 0 of p6-b300", "a.json", None,
     launch([nic(0, 0, "efa")] + [nic(i, 0) for i in range(1, 17)]).replace("p4d.24xlarge", "p6-b300.48xlarge"), ["1 aws-index {\"NetworkCardI"]),
    ("reservation in a launch template", "a.json", None,
     launch(CARDS, ', "Placement": {"GroupName": "x"}, "CapacityReservationSpecification": {"CapacityReservationTarget": {}}'),
     ["1 aws-reservation \"x\"}, \"Capacit"]),
    ("a key twice", "a.json", None, '{"a": 1, "a": 2}', ["1 key-duplicate \"a\": 2}"]),
    ("JSON with a comma too many", "a.json", '{"a": 1}', '{"a": 1,}', ["1 syntax }"]),
    ("YAML with a tab", "a.yaml", "a:\n  b: 1\n", "a:\n\tb: 1\n", ["2 syntax \tb: 1"]),
    ("HCL without an end", "a.tf", "a = 1\n", "b {\n", ["1 syntax {"]),
    ("Terraform: no rule out", "a.tf", TF_GROUP % '  egress {\n    protocol = "-1"\n    self = true\n  }\n',
     TF_GROUP % '  egress {\n    protocol = "-1"\n    cidr_blocks = ["0.0.0.0/0"]\n  }\n', ["2 sg-out {"]),
    ("Terraform: rules of their own", "a.tf",
     (TF_GROUP % "") + 'resource "aws_security_group_rule" "o" {\n  type = "egress"\n  protocol = "-1"\n  self = true\n'
     "  security_group_id = aws_security_group.efa.id\n}\n",
     'resource "aws_vpc_security_group_egress_rule" "o" {\n  ip_protocol = "-1"\n  security_group_id = aws_security_group.x.id\n'
     "  referenced_security_group_id = aws_security_group.x.id\n}\n", ["1 sg-in {"]),
    ("Terraform: several zones", "a.tf", MODULE % "      subnet_ids = [module.vpc.private_subnets[0]]\n",
     MODULE % "      subnet_ids = module.vpc.private_subnets\n", ["7 aws-zone module.vpc.pri"]),
    ("Terraform: reserved", "a.tf", MODULE % "      capacity_reservation_specification = {}\n      create_placement_group = false\n",
     MODULE % "      capacity_reservation_specification = {}\n", ["6 aws-reservation true"]),
    ("Terraform: a misspelt argument", "a.tf", None, MODULE % "      desired_sizee = 2\n", ["7 field-unknown desired_sizee"]),
    ("Terraform: a launch template", "a.tf", None,
     'resource "aws_launch_template" "x" {\n  instance_type = "p4d.24xlarge"\n  network_interfaces {\n    device_index = 0\n'
     '    interface_type = "efa"\n  }\n}\n', ["3 aws-cards network_interf"]),
    ("a script: MPI on TCP", "a.sh", "mpirun -np 2 --mca pml cm --mca mtl ofi ./solver\n", "mpirun -np 2 --mca pml ob1 ./solver\n", ["1 env-tcp --mca pml ob1"]),
    ("a script: MPI's variables", "a.sh", "export OMPI_MCA_btl=tcp,self\nsrun python3 train.py\n",
     "python3 prepare.py\nexport OMPI_MCA_btl=tcp,self\nmpirun ./solver\n", ["2 env-tcp OMPI_MCA_btl"]),
    ("a script: a baseline", "a.sh", None, "export NCCL_NET=Socket\ntorchrun train.py\n", ["1 env-tcp NCCL_NET"]),
    ("a script: more processes than slots", "a.sh", "mpirun -np 4 -H a:2,b:2 ./x\n", "mpirun -np 5 -H a:2,b:2 ./x\n", ["1 mpi-slots 5 -H a:2,b:2 ."]),
    ("a script: more processes than slots, as wanted", "a.sh",
     "mpirun -np 5 -H a --oversubscribe ./x\nmpirun -np 5 -H a --map-by node:OVERSUBSCRIBE ./x\nmpiexec -n 4 -ppn 2 -hosts a,b ./x\n",
     "mpirun -np 5 -H a --map-by node:NOOVERSUBSCRIBE ./x\n", ["1 mpi-slots 5 -H a --map-by"]),
    ("a script: variables that abort", "a.sh", "export FI_EFA_IFACE=rdmap0\n", "export FI_EFA_MTU_SIZE=1 FI_EFA_IFACE=\n",
     ["1 env-removed FI_EFA_MTU_SIZ", "1 env-removed FI_EFA_IFACE="]),
    ("a script: a variable before a command", "a.sh", None, "NCCL_IB_HCA=x env FI_EFA_TX_MIN_CREDITS=0 ./train\n",
     ["1 env-noop NCCL_IB_HCA=x", "1 env-removed FI_EFA_TX_MIN_"]),
    ("a script: only what is said", "a.sh", 'export FI_PROVIDER="$P" NCCL_DEBUG=INFO # FI_EFA_MTU_SIZE=1\necho \'export FI_EFA_MTU_SIZE=1\'\n', None, []),
    ("a script: docker run", "a.sh", None, "docker run -e NCCL_IB_HCA=1 --env=FI_EFA_MTU_SIZE=1 x\n", ["1 env-noop NCCL_IB_HCA=1", "1 env-removed --env=FI_EFA_M"]),
    ("a script: in a script", "a.sh", None, "srun -N 2 bash -c 'export FI_EFA_MTU_SIZE=1; ./x'\n", ["1 env-removed FI_EFA_MTU_SIZ"]),
    ("a script: security group", "a.sh",
     "aws ec2 authorize-security-group-ingress --group-id sg-1 --protocol -1 --source-group sg-1\n"
     "aws ec2 authorize-security-group-egress --group-id sg-1 --ip-permissions 'IpProtocol=-1,UserIdGroupPairs=[{GroupId=sg-1}]'\n",
     'aws ec2 authorize-security-group-egress --group-id "${G}" --ip-permissions "IpProtocol=-1,UserIdGroupPairs=[{GroupId=$G}]"\n', ["1 sg-in aws ec2 author"]),
    ("a script: interfaces in short", "a.sh",
     "aws ec2 run-instances --instance-type c6in.32xlarge --network-interfaces NetworkCardIndex=0,DeviceIndex=0,InterfaceType=efa,Groups=a,b "
     "NetworkCardIndex=1,DeviceIndex=1,InterfaceType=efa-only\n",
     "aws ec2 run-instances --instance-type c6in.32xlarge --network-interfaces NetworkCardIndex=0,DeviceIndex=0,InterfaceType=efa\n",
     ["1 aws-cards NetworkCardInd"]),
    ("a script: a manifest in it", "a.sh", None, "kubectl apply -f - <<'EOF'\n" + pod("p5en.48xlarge", EFA + ": 32") + "EOF\n", ["12 pod-count 32}"]),
    ("a job: tasks and GPUs", "a.sbatch", "#!/bin/bash\n#SBATCH --ntasks-per-node=8\n#SBATCH --gpus-per-node=8\nsrun ./x\n",
     "#!/bin/bash\n#SBATCH --ntasks-per-node=16\n#SBATCH --gpus-per-node=8\nsrun ./x\n", ["3 mpi-slots --gpus-per-nod"]),
    ("a Dockerfile", "Dockerfile", "FROM debian\nENV FI_EFA_IFACE=a\n", "FROM debian\nENV A=b \\\n  FI_EFA_MTU_SIZE=1\nENV NCCL_IB_HCA 1\n",
     ["3 env-removed FI_EFA_MTU_SIZ", "4 env-noop NCCL_IB_HCA 1"]),
    ("a Dockerfile that installs EFA", "Dockerfile", "FROM nvcr.io/x:1\nRUN ./efa_installer.sh -y\n", "FROM nvcr.io/x:1\nRUN true\n", ["1 image-plugin nvcr.io/x:1"]),
    ("an old device plugin", "a.yaml", None,
     "apiVersion: apps/v1\nkind: DaemonSet\nspec: {template: {spec: {containers: [{name: x, image: r/eks/aws-efa-k8s-device-plugin:v0.3.3}]}}}\n",
     ["3 plugin-old r/eks/aws-efa-"]),
    ("a list of objects", "a.yaml", None, "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec: {containerss: []}\n",
     ["6 field-unknown containerss: ["]),
    ("merged fields", "a.yaml", None,
     "x-r: &r {limits: {" + EFA + ": 5}}\nkind: Pod\napiVersion: v1\nspec:\n  nodeSelector: {node.kubernetes.io/instance-type: p4d.24xlarge}\n"
     "  containers: [{name: x, resources: {<<: *r}}]\n", ["1 field-unknown x-r: &r {limit", "1 pod-count 5}}"]),
    ("a template is not judged", "a.yaml", "kind: Pod\napiVersion: v1\nspec: {containers: [{name: {{ .x }}, image: a}]}\n", None, []),
    ("a path behind what Kubernetes expands", "a.yaml", "kind: Pod\napiVersion: v1\nspec: {containers: [{name: x, env: [{name: P, value: $(A)/b}]}]}\n",
     "kind: Pod\napiVersion: v1\nspec: {containers: [{name: x, env: [{name: P, value: $(A)/b:$PATH}, {name: PYTHONPATH, value: /a:$PYTHONPATH}]}]}\n", ["3 env-expand $(A)/b:$PATH", "3 env-expand /a:$PYTHONPATH"]),
    ("a script in a pod", "a.yaml", "kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - name: x\n    command: [/bin/bash, -ec]\n    args:\n    - |\n"
     "      export NCCL_DEBUG=INFO\n      ./x\n", "kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - name: x\n    command: [/bin/bash, -e, -c]\n"
     "    args:\n    - |\n      # two\n      export FI_EFA_MTU_SIZE=1\n", ["10 env-removed FI_EFA_MTU_SIZE"]),
    ("interfaces that there are", "a.json",
     '{"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1", "OwnerId": "1", "InterfaceType": "efa", "Attachment": {"DeviceIndex": 0}}]}', None, []),
    ("a document that leaves things out", "a.md", "```\nNAME: a b: c\n```\n", '```json\n{"a": ...}\n```\n', ['2 syntax ...}']),
    ("Bottlerocket's own format", "a.toml", '[settings.kernel.sysctl]\n"vm.nr_hugepages" = "21121"\n',
     '[settings.kernel.sysctl]\n"vm.nr_hugepages" = "5128"\n', ['2 hugepages 5128"']),
    ("TOML by its looks", "a", '["a", "b"]\n', '# x\n[settings.kernel.sysctl]\n"vm.nr_hugepages" = "5128"\n', ['3 hugepages 5128"']),
    ("CRLF and a byte order mark", "a.yaml", None, "\ufeff" + pod("p5en.48xlarge", EFA + ": 32").replace("\n", "\r\n"), ["11 pod-count 32}"]),
]


def described(text, place):
    """'11:60 pod-count' as '11 pod-count 32, ...': what stands there."""
    at, name = place.split(" ")
    line, column = map(int, at.split(":"))
    return f"{line} {name} " + text.lstrip("\ufeff").split("\n")[line - 1][column - 1:]


def rules(folder):
    for name, file, right, wrong, wanted in ROWS:
        path = os.path.join(folder, file)
        for text, want, which in ((right, [], "right"), (wrong, wanted, "wrong")):
            if text is None:
                continue
            with open(path, "w", encoding="utf-8", newline="") as f:
                f.write(text)
            run, places = found(path)
            got = [described(text, place) for place in places]
            report(len(got) == len(want) and all(g.startswith(w) for g, w in zip(got, want)), f"{name}, {which}", f"wanted {want}",
                   f"got    {got}", run.stderr, *text.splitlines())
        os.unlink(path)


def forms(folder):
    bad, good = os.path.join(folder, "bad one.yaml"), os.path.join(folder, "good.yaml")
    with open(bad, "w", encoding="utf-8") as f:
        f.write(pod("p5en.48xlarge", GPUS + EFA + ": 32"))
    with open(good, "w", encoding="utf-8") as f:
        f.write(pod("p5en.48xlarge", GPUS + EFA + ": 16"))
    run = weft(bad)
    report(run.returncode == 1 and "bad one.yaml:11:60: vpc.amazonaws.com/efa: 32, and a p5en.48xlarge has 16" in run.stdout and
           "why: " in run.stdout and "fix: vpc.amazonaws.com/efa: 16" in run.stdout, "text: place, reason and fix", run.stdout, run.stderr)
    report(weft(good).returncode == 0, "exit 0")
    report(weft(good, bad).returncode == 1, "exit 1")
    run = weft(good, os.path.join(folder, "none"))
    report(run.returncode == 2 and run.stderr.count("\n") == 1 and "No such file" in run.stderr, "exit 2: no such file", run.stderr)
    strange = os.path.join(folder, "strange.yaml")
    with open(strange, "w", encoding="utf-8") as f:
        f.write("apiVersion: v1\nkind: Pood\nspec: {}\n")
    run = weft("--json", strange, good)
    report(run.returncode == 0 and run.stderr.count("\n") == 1 and "strange.yaml: nothing in it" in run.stderr and
           json.loads(run.stdout)["unknown_files"] == 1, "a file of no known kind is named", run.stdout, run.stderr)
    report(weft(strange).returncode == 2, "exit 2: nothing was judged")
    os.unlink(strange)
    run = weft(folder)
    report(run.returncode == 2 and "Is a directory" in run.stderr, "exit 2: a folder", run.stderr)
    for arguments, why in (([], "which files"), (["--jsn", good], "no such option"), (["--json", "--sarif", good], "not both"),
                           (["--fix", "--json", good], "diff"), (["--yes", good], "--yes without"), (["--fix", "-"], "standard input"),
                           (["--instance", "p5", good], "did you mean p5.48xlarge"), (["--format", "xml", good], "markdown, not xml"),
                           (["--skip", "x", good], "no such finding"), (["--skip", "pod"] * 33 + [good], "not more than 32"), (["--instance"], "needs a value")):
        run = weft(*arguments)
        report(run.returncode == 2 and why in run.stderr and run.stderr.count("\n") == 1 and not run.stdout, f"exit 2: {arguments}", run.stderr)
    run = weft("--skip", "pod", bad)
    report(run.returncode == 0, "--skip a group", run.stdout)
    run = weft("--json", "-", input=pod("p5en.48xlarge", GPUS + EFA + ": 32"))
    report(run.returncode == 1 and json.loads(run.stdout)["findings"][0]["file"] == "<stdin>", "standard input", run.stdout)
    fragment = os.path.join(folder, "f.yaml")
    with open(fragment, "w", encoding="utf-8") as f:
        f.write("resources:\n  limits:\n    vpc.amazonaws.com/efa: 32\n")
    report(found(fragment)[1] == [] and found(fragment, "--instance", "p5en.48xlarge")[1] == ["3:28 pod-count"], "--instance")
    partial = os.path.join(folder, "p.yaml")
    with open(partial, "w", encoding="utf-8") as f:
        f.write(pod("p5.48xlarge", GPUS + EFA + ": 8"))
    report("8 of 32 EFAs: at most 100 of 400 GB/s" in weft(partial).stdout, "a partial request says its bandwidth")
    sarif(folder, bad)


def sarif(folder, bad):
    run = weft("--sarif", "bad one.yaml", cwd=folder)
    log = json.loads(run.stdout)
    one = log["runs"][0]
    rules_, results = one["tool"]["driver"]["rules"], one["results"]
    report(log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json") and one["tool"]["driver"]["name"] == "weft" and
           one["columnKind"] == "unicodeCodePoints", "SARIF: head")
    report(len({r["id"] for r in rules_}) == len(rules_) and
           all(set(r) == {"id", "shortDescription", "fullDescription", "help", "helpUri", "defaultConfiguration"} and
               r["shortDescription"]["text"] and r["help"]["text"] and r["helpUri"].startswith("https://") and
               r["defaultConfiguration"]["level"] in ("note", "warning", "error") for r in rules_), "SARIF: rules")
    region = results[0]["locations"][0]["physicalLocation"]
    report(len(results) == 1 and rules_[results[0]["ruleIndex"]]["id"] == results[0]["ruleId"] == "pod-count" and
           results[0]["level"] == "error" and region["artifactLocation"]["uri"] == "bad%20one.yaml" and
           region["region"] == {"startLine": 11, "startColumn": 60}, "SARIF: results", run.stdout)
    report(json.loads(weft("--sarif", os.path.join(DOCS, "handbook.md")).stdout)["runs"][0]["results"] == [], "SARIF: nothing found")
    del bad


FIXES = [
    ("counts", "a.yaml", pod("p5en.48xlarge", GPUS + EFA + ": 32"), pod("p5en.48xlarge", GPUS + EFA + ": 16"), 0),
    ("what is not a limit", "a.yaml", pod("c5n.18xlarge", EFA + ": 1", EFA + ": 2"), pod("c5n.18xlarge", EFA + ": 1"), 0),
    ("names and types", "a.yaml", (JOB % ('"8"', "")).replace("slotsPer", "slotPer"), JOB % ("8", ""), 0),
    ("quotes", "a.yaml", "kind: Pod\napiVersion: v1\nspec: {containers: [{name: x, env: [{name: A, value: 8}, {name: B, value: on}]}]}\n",
     'kind: Pod\napiVersion: v1\nspec: {containers: [{name: x, env: [{name: A, value: "8"}, {name: B, value: "on"}]}]}\n', 0),
    ("interfaces", "a.json", launch([nic(0, 0, "EFA", ', "AssociatePublicIpAddress": true'), *CARDS[1:]]),
     launch([nic(0, 0, "efa", ', "AssociatePublicIpAddress": false'), *CARDS[1:]]), 0),
    ("a document", "a.md", "x\n\n   ```yaml\n   " + pod("p5en.48xlarge", EFA + ": 32").replace("\n", "\n   ") + "\n   ```\ny",
     "x\n\n   ```yaml\n   " + pod("p5en.48xlarge", EFA + ": 16").replace("\n", "\n   ") + "\n   ```\ny", 0),
    ("nothing that is not certain", "a.yaml", pod("p5.48xlarge", GPUS + EFA + ": 4"), pod("p5.48xlarge", GPUS + EFA + ": 4"), 1),
]


def read(path):
    with open(path, encoding="utf-8", newline="") as f:
        return f.read()


def on_terminal(path, answer):
    """Runs --fix with a terminal on stdin, and answers its question."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([WEFT, "lint", "--fix", path], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        os.close(theirs)
        os.write(ours, answer)
        out, err = run.communicate(timeout=30)
    os.close(ours)
    return run.returncode, out.decode(), err.decode()


def fixes(folder):
    for name, file, before, after, status in FIXES:
        path = os.path.join(folder, file)
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(before)
        os.chmod(path, 0o640)
        run = weft("--fix", path)
        changes = before != after
        report(read(path) == before and changes == ("--- " in run.stdout) and changes == ("--yes" in run.stderr),
               f"fix {name}: a diff and no change", run.stdout, run.stderr)
        if changes:
            diff = re.split(r"^(?:fail  |warn  |note  |[0-9]+ failed)", run.stdout, maxsplit=1, flags=re.M)[0]
            patched = subprocess.run(["patch", "-s", "-o", "-", path], input=diff, capture_output=True, text=True, check=False)
            want = weft("--fix", "--yes", path)
            # Where one correction makes room for the next, the second diff follows the first.
            report(patched.stdout == read(path) or "---" in want.stdout[4:], f"fix {name}: patch(1) takes the diff", patched.stderr, run.stdout)
            run = want
        else:
            run = weft("--fix", "--yes", path)
        report(run.returncode == status and read(path) == after and os.stat(path).st_mode & 0o777 == 0o640, f"fix {name}", run.stdout, run.stderr,
               *read(path).splitlines())
        report(weft("--fix", "--yes", path).stdout.count("--- ") == 0, f"fix {name}: once is enough")
        os.unlink(path)
    path, link = os.path.join(folder, "t.yaml"), os.path.join(folder, "link.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(FIXES[0][2])
    os.symlink("t.yaml", link)
    status, out, err = on_terminal(link, b"n\n")
    report(status == 1 and read(path) == FIXES[0][2] and "+++" in out and "[y/N]" in err, "fix: no is no", out, err)
    status, out, err = on_terminal(link, b"y\n")
    report(status == 0 and read(path) == FIXES[0][3] and os.path.islink(link), "fix: yes, through a link", out, err)
    report(not [n for n in os.listdir(folder) if n not in ("bad one.yaml", "good.yaml", "f.yaml", "p.yaml", "t.yaml", "link.yaml")],
           "fix: nothing is left beside the files", *os.listdir(folder))


def bounded(name, path, seconds, megabytes, wanted, *arguments):
    """What lint takes for a file, in time and memory."""
    before = time.monotonic()
    with subprocess.Popen([WEFT, "lint", "--json", *arguments, path], stdout=subprocess.PIPE) as run:
        data = run.stdout.read()
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - before
    got = [f["id"] for f in json.loads(data)["findings"]]
    report(wanted(got) and run.returncode in (0, 1, 2) and usage.ru_maxrss < megabytes * 1024 and took < seconds,
           f"{name}: {os.path.getsize(path) >> 20} MB, at most {megabytes} MB of memory",
           f"took {took:.1f} s, {usage.ru_maxrss >> 10} MB, exit {run.returncode}, {len(got)} findings {got[:5]}")


def put(path, before, text, times, after):
    """Piece by piece: a child's memory, as the kernel counts it, is never below what its parent had."""
    with open(path, "w", encoding="utf-8") as f:
        f.write(before)
        for _ in range(times):
            f.write(text)
        f.write(after)


def large(folder):
    sanitized = "__asan" in subprocess.run(["nm", WEFT], capture_output=True, text=True, check=False).stdout
    slow, fat, size = (20, 8, 6000000) if sanitized else (1, 1, 52000000)
    path = os.path.join(folder, "large.yaml")
    good, bad = pod("p5en.48xlarge", GPUS + EFA + ": 16"), pod("p5en.48xlarge", GPUS + EFA + ": 32")
    put(path, "", good + "---\n", 9999, bad)
    bounded("10000 documents", path, 10 * slow, 64 * fat, lambda got: got == ["pod-count"])
    put(path, "", good + "---\n", size // len(good), bad)
    bounded("many documents", path, 30 * slow, 150 * fat, lambda got: got == ["pod-count"])
    one = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x" * 40, "labels": {f"l{i}": "v" * 30 for i in range(20)}},
                      "spec": {"containers": [{"name": "x", "image": "i"}]}})
    put(path, '{"kind": "List", "apiVersion": "v1", "items": [\n', one + ",\n", size // len(one), one + "]}\n")
    bounded("one document", path, 30 * slow, 400 * fat, lambda got: got == [], "--format", "json")
    put(path, "a: [", "x, ", size // 3, "]\n")
    bounded("one list", path, 30 * slow, 500 * fat, lambda got: got == ([] if sanitized else ["input"]))
    put(path, "", "export A=b NCCL_DEBUG=INFO \\\n", size // 30, "")
    bounded("one command", path, 30 * slow, 800 * fat, lambda got: True, "--format", "shell")
    with open(path, "w", encoding="utf-8") as f:
        f.write("a: &a [x,x,x,x,x,x,x,x,x]\n")
        for c in "bcdefghij":
            f.write(f"{c}: &{c} [{','.join(['*' + chr(ord(c) - 1)] * 9)}]\n")
    bounded("a bomb of aliases", path, 5 * slow, 64 * fat, lambda got: got == ["input"])
    put(path, "", "'a'", size // 3, "\nexport FI_EFA_MTU_SIZE=1\n")
    bounded("one word of many quotes", path, 30 * slow, 300 * fat, lambda got: got == (["env-removed"] if sanitized else ["input", "env-removed"]),
            "--format", "shell")
    put(path, "a: &a |\n  ", "x " * 1000, 5000, "\nkind: Pod\napiVersion: v1\nspec:\n  containers:\n")
    with open(path, "a", encoding="utf-8") as f:
        for _ in range(1000):
            f.write("  - {name: x, command: [sh, -c, *a]}\n")
    bounded("a long script, a thousand times", path, 30 * slow, 100 * fat, lambda got: got == ["input"])
    limits = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: x\n    resources:\n"
    many = "".join(f"        x/{i}: 1\n" for i in range(60000))
    put(path, limits, f"      limits:\n{many}      requests:\n{many}", 1, "")
    bounded("members times members", path, 5 * slow, 100 * fat, lambda got: got == ["input"])
    put(path, "", many, 1, "")
    bounded("many members of something else", path, 5 * slow, 100 * fat, lambda got: got == ["input"])
    for text in ("[" * 100000, "{a: " * 100000, "- " * 100000, "&a " * 1000, "'" * 99999, "\0" * 1000, "```\n" * 50000, "$(" * 50000, '"${' * 50000):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        for form in ("yaml", "json", "hcl", "toml", "shell", "dockerfile", "markdown"):
            run = weft("--format", form, path, timeout=20 * slow)
            if run.returncode not in (0, 1, 2): # 2: in it is nothing that lint knows.
                report(False, f"hostile: {text[:4]!r} as {form}", f"exit {run.returncode}", run.stderr)
    report(True, "hostile files")
    os.unlink(path)


def main():
    guides()
    with tempfile.TemporaryDirectory() as folder:
        rules(folder)
        forms(folder)
        fixes(folder)
        large(folder)
    print(f"1..{count}")


if __name__ == "__main__":
    main()
