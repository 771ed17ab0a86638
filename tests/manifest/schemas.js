// SPDX-License-Identifier: BSD-2-Clause
// What the formats allow, as JSON schemas, written from the documentation of the formats: the fields there are, their
// types, and which of them have to be there. No field but those: a misspelt one is silently dropped by most
// of the programs that read these files.
'use strict';

const string = { type: 'string', minLength: 1 };
const bool = { type: 'boolean' };
const count = { type: 'integer', minimum: 0 };
const strings = { type: 'array', items: string };
const texts = { type: 'object', additionalProperties: string };
const name = { type: 'string', pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', maxLength: 63 };

function object(properties, ...required) {
  return { type: 'object', properties, required, additionalProperties: false };
}

function list(items, minItems = 1) {
  return { type: 'array', items, minItems };
}

// Kubernetes
const quantity = { anyOf: [count, { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$' }] };
const quantities = { type: 'object', additionalProperties: quantity };
const meta = object({ name, namespace: name, labels: texts, annotations: texts }, 'name');
const probe = object({
  exec: object({ command: strings }, 'command'),
  periodSeconds: count, initialDelaySeconds: count, timeoutSeconds: count, failureThreshold: count,
});
const container = object({
  name, image: string, imagePullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
  command: strings, args: strings, workingDir: string,
  env: list({
    oneOf: [
      object({ name: string, value: { type: 'string' } }, 'name', 'value'),
      object({ name: string, valueFrom: { type: 'object' } }, 'name', 'valueFrom'),
    ],
  }),
  resources: object({ limits: quantities, requests: quantities }),
  volumeMounts: list(object({ name, mountPath: string, readOnly: bool, subPath: string }, 'name', 'mountPath')),
  securityContext: { type: 'object' },
  readinessProbe: probe, livenessProbe: probe, startupProbe: probe,
}, 'name', 'image');
const podSpec = object({
  containers: list(container), initContainers: list(container),
  restartPolicy: { enum: ['Always', 'OnFailure', 'Never'] },
  nodeSelector: texts,
  tolerations: list(object({
    key: string, operator: { enum: ['Exists', 'Equal'] }, value: string,
    effect: { enum: ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] },
  })),
  volumes: list(object({
    name,
    emptyDir: object({ medium: { enum: ['', 'Memory', 'HugePages'] }, sizeLimit: quantity }),
    hostPath: object({ path: string, type: string }, 'path'),
    configMap: { type: 'object' },
  }, 'name')),
  hostNetwork: bool, priorityClassName: string, serviceAccountName: string,
}, 'containers');
const podTemplate = object({ metadata: object({ labels: texts, annotations: texts }), spec: podSpec }, 'spec');
const selector = object({ matchLabels: texts }, 'matchLabels');

function kind(apiVersion, kindName, properties, ...required) {
  return object({ apiVersion: { const: apiVersion }, kind: { const: kindName }, metadata: meta, ...properties },
    'apiVersion', 'kind', 'metadata', ...required);
}

const pod = kind('v1', 'Pod', { spec: podSpec }, 'spec');
const service = kind('v1', 'Service', {
  spec: object({
    selector: texts, clusterIP: string, publishNotReadyAddresses: bool, type: string,
    ports: list({ type: 'object' }),
  }),
}, 'spec');
const daemonSet = kind('apps/v1', 'DaemonSet', {
  spec: object({ selector, template: podTemplate, updateStrategy: { type: 'object' } }, 'selector', 'template'),
}, 'spec');

// Kubeflow's MPI operator, v2beta1
const replica = object({
  replicas: count, template: podTemplate, restartPolicy: { enum: ['Never', 'OnFailure', 'Always', 'ExitCode'] },
}, 'template');
const mpiJob = kind('kubeflow.org/v2beta1', 'MPIJob', {
  spec: object({
    slotsPerWorker: { type: 'integer', minimum: 1 },
    runLauncherAsWorker: bool,
    sshAuthMountPath: string,
    launcherCreationPolicy: { enum: ['AtStartup', 'WaitForWorkersReady'] },
    mpiImplementation: { enum: ['OpenMPI', 'Intel', 'MPICH'] },
    runPolicy: object({
      cleanPodPolicy: { enum: ['Running', 'None', 'All'] },
      backoffLimit: count, ttlSecondsAfterFinished: count, activeDeadlineSeconds: count, suspend: bool,
    }),
    mpiReplicaSpecs: object({ Launcher: replica, Worker: replica }, 'Launcher', 'Worker'),
  }, 'mpiReplicaSpecs'),
}, 'spec');

// KubeRay, v1. rayStartParams are strings, whatever they look like.
const group = { rayStartParams: { type: 'object', additionalProperties: { type: 'string' } }, template: podTemplate };
const rayJob = kind('ray.io/v1', 'RayJob', {
  spec: object({
    entrypoint: string, shutdownAfterJobFinishes: bool, ttlSecondsAfterFinished: count, runtimeEnvYAML: string,
    submissionMode: { enum: ['K8sJobMode', 'HTTPMode', 'InteractiveMode', 'SidecarMode'] },
    rayClusterSpec: object({
      rayVersion: string,
      headGroupSpec: object({ ...group, serviceType: string }, 'template', 'rayStartParams'),
      workerGroupSpecs: list(object({
        ...group, groupName: string, replicas: count, minReplicas: count, maxReplicas: count, numOfHosts: count,
      }, 'groupName', 'template', 'rayStartParams')),
    }, 'headGroupSpec'),
  }, 'entrypoint', 'rayClusterSpec'),
}, 'spec');

// eksctl, v1alpha5
const zone = { type: 'string', pattern: '^[a-z]+(-[a-z]+)+-[0-9]+[a-z]$' };
const eksctl = object({
  apiVersion: { const: 'eksctl.io/v1alpha5' }, kind: { const: 'ClusterConfig' },
  metadata: object({ name: string, region: string, version: { type: 'string', pattern: '^[0-9]+\\.[0-9]+$' } },
    'name', 'region'),
  iam: object({ withOIDC: bool }),
  availabilityZones: { ...list(zone, 2), uniqueItems: true },
  managedNodeGroups: list(object({
    name: string, instanceType: string, minSize: count, desiredCapacity: count, maxSize: count,
    amiFamily: { enum: ['AmazonLinux2023', 'AmazonLinux2', 'Bottlerocket', 'Ubuntu2204', 'Ubuntu2404'] },
    // With efaEnabled one at most.
    availabilityZones: { ...list(zone), maxItems: 1 },
    volumeSize: { type: 'integer', minimum: 1 }, privateNetworking: bool, efaEnabled: { const: true },
    labels: texts, taints: { type: 'array' },
    bottlerocket: object({
      settings: object({ kernel: object({ sysctl: { type: 'object', additionalProperties: { type: 'string' } } }) }),
    }),
  }, 'name', 'instanceType', 'efaEnabled', 'availabilityZones')),
}, 'apiVersion', 'kind', 'metadata', 'managedNodeGroups');

// AWS ParallelCluster, version 3
const subnet = { type: 'string', pattern: '^subnet-([0-9a-z]{8}|[0-9a-z]{17})$' };
const parallelCluster = object({
  Region: string,
  Image: object({ Os: { enum: ['alinux2', 'alinux2023', 'ubuntu2204', 'ubuntu2404', 'rhel8', 'rhel9'] } }, 'Os'),
  HeadNode: object({
    InstanceType: string, Networking: object({ SubnetId: subnet, ElasticIp: {} }, 'SubnetId'),
    Ssh: object({ KeyName: string, AllowedIps: string }),
  }, 'InstanceType', 'Networking'),
  Scheduling: object({
    Scheduler: { const: 'slurm' },
    SlurmQueues: list(object({
      Name: { type: 'string', pattern: '^[a-z][a-z0-9-]{0,40}$' },
      CapacityType: { enum: ['ONDEMAND', 'SPOT', 'CAPACITY_BLOCK'] },
      ComputeResources: list(object({
        Name: string, InstanceType: string, Instances: { type: 'array' }, MinCount: count, MaxCount: count,
        DisableSimultaneousMultithreading: bool, Efa: object({ Enabled: bool, GdrSupport: bool }, 'Enabled'),
      }, 'Name', 'InstanceType')),
      Networking: object({
        SubnetIds: { ...list(subnet), maxItems: 1 }, PlacementGroup: object({ Enabled: bool, Name: string }),
      }, 'SubnetIds'),
    }, 'Name', 'ComputeResources', 'Networking')),
  }, 'Scheduler', 'SlurmQueues'),
}, 'Image', 'HeadNode', 'Scheduling');

// SkyPilot
const skyPilot = object({
  name: string,
  resources: object({
    infra: string, cloud: string, accelerators: { type: 'string', pattern: '^[A-Z0-9-]+:[1-9][0-9]*$' },
    cpus: { type: 'string', pattern: '^[0-9]+\\+?$' }, memory: string, image_id: string, network_tier: string,
  }),
  num_nodes: { type: 'integer', minimum: 1 },
  envs: { type: 'object', additionalProperties: { type: 'string' } },
  setup: string, run: string, workdir: string,
  config: object({
    kubernetes: object({
      pod_config: object({
        // Merged into SkyPilot's own pod, so names and images are not needed.
        spec: object({
          nodeSelector: texts,
          containers: list(object({ resources: container.properties.resources })),
        }),
      }),
    }),
  }),
}, 'resources', 'run');

// The Helm chart aws-efa-k8s-device-plugin
const devicePlugin = object({
  image: object({ repository: string, tag: string, pullPolicy: string }),
  supportedInstanceLabels: object({ keys: strings, values: { ...strings, minItems: 1 } }),
  tolerations: { type: 'array', items: podSpec.properties.tolerations.items },
  resources: container.properties.resources, nodeSelector: texts,
  additionalPodAnnotations: texts, additionalPodLabels: texts, securityContext: { type: 'object' },
  nameOverride: string, fullnameOverride: string, imagePullSecrets: { type: 'array' },
});

// EC2's RequestLaunchTemplateData
const launchTemplate = object({
  ImageId: { type: 'string', pattern: '^ami-[0-9a-z]{17}$' }, InstanceType: string, KeyName: string,
  Placement: object({ GroupName: string }), MetadataOptions: object({ HttpTokens: { enum: ['required', 'optional'] } }),
  NetworkInterfaces: list(object({
    NetworkCardIndex: count, DeviceIndex: count, InterfaceType: { enum: ['interface', 'efa', 'efa-only'] },
    Groups: strings, SubnetId: subnet, DeleteOnTermination: bool, AssociatePublicIpAddress: bool,
  }, 'NetworkCardIndex', 'DeviceIndex', 'InterfaceType')),
}, 'InstanceType', 'NetworkInterfaces');

module.exports = {
  bottlerocket: [eksctl],
  burnin: [service, daemonSet],
  'device-plugin': [devicePlugin],
  eksctl: [eksctl],
  mpijob: [mpiJob],
  parallelcluster: [parallelCluster],
  pod: [pod],
  rayjob: [rayJob],
  skypilot: [skyPilot],
  launchTemplate,
};
