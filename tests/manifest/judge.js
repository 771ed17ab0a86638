// SPDX-License-Identifier: BSD-2-Clause
// judge.js MODULES LIST FOLDER <RECORDS: reads what `all` prints, and judges it. MODULES is the folder of the npm modules,
// LIST what `weft plan --list --json` prints: the facts that a manifest is held against. One text of each shape (the
// same but for names and numbers) goes into FOLDER, for programs that take their time with each file.
//
// Scripts are run, with an `aws` that only prints its arguments: what they would ask EC2 for is what counts.
'use strict';

const { createRequire } = require('module');
const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const [modules, listFile, folder] = process.argv.slice(2);
const npm = createRequire(path.resolve(modules, 'index.js'));
const Ajv = npm('ajv');
const yaml = npm('yaml');
const hcl = npm('@cdktf/hcl2json');
const { validate: validateDockerfile } = npm('dockerfile-utils');
const schemas = require('./schemas.js');

const NODES = 4;
const ajv = new Ajv({ allErrors: true, strict: false });
const facts = new Map(JSON.parse(fs.readFileSync(listFile, 'utf8')).map((row) => [row.instance, row]));
const problems = [];
const shapes = new Map();
const verdicts = new Map();
let where = '';

function complain(what) {
  problems.push(`${where}: ${what}`);
}

function expect(good, what) {
  if (!good) complain(what);
}

function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

// Records

function* records(bytes) {
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(10, at);
    const [kind, instance, how, what, length] = bytes.toString('utf8', at, end).split('\t');
    at = end + 1 + Number(length);
    yield { kind, instance, how, made: what === 'made', text: bytes.toString('utf8', end + 1, at) };
  }
}

// Is it new? Then it goes to the slow judges, too.
function isNewShape(record, name, text) {
  const shape = name + text.replaceAll(record.instance, 'TYPE').replace(/[0-9]+/g, '0');
  if (shapes.has(shape)) return false;
  const count = [...shapes.values()].filter((n) => n === name).length;
  shapes.set(shape, name);
  const dot = name.lastIndexOf('.');
  fs.writeFileSync(path.join(folder, `${name.slice(0, dot)}-${count}${name.slice(dot)}`), text);
  return true;
}

// What may be refused: where a fact that the kind needs is not stated by any source, and what makes no sense.

function isNvidia(row) {
  return 'nvidia.com/gpu' in row.pod;
}

function stated(row, key) {
  return row[key] !== null && !row.derived.includes(key);
}

const SKY = ['a10g', 'a100', 'b200', 'b300', 'h100', 'h200', 'l4', 'l40s', 't4', 'v100'];

function mayRefuse(kind, row, how) {
  const cards = !stated(row, 'cards');
  // Unless the user says it.
  const pages = how === 'least' && row.hugepages_2mi === null;
  const memory = pages || (how === 'least' && row.memory_gib === null);
  const accelerators = row.accelerator !== null && (Object.keys(row.pod).length < 3 || row.accelerators === null);
  const layout = cards || row.network_cards === null || (row.network_cards !== row.cards && !stated(row, 'gbps_per_card'));
  const card0 = layout || row.network_cards !== row.cards;
  switch (kind) {
    case 'bottlerocket': return card0 || row.hugepages_2mi === null;
    case 'burnin': return cards || pages || (row.accelerator !== null && accelerators);
    case 'device-plugin': return cards || (row.accelerator !== null && Object.keys(row.pod).length < 3);
    case 'eksctl': return card0;
    case 'launch-template': case 'run-instances': case 'parallelcluster': return layout;
    case 'mpijob': return cards || memory || (row.accelerator !== null && !isNvidia(row));
    case 'pod': case 'rayjob': return cards || memory || accelerators;
    case 'skypilot': return cards || memory || (row.accelerator !== null && !SKY.includes(row.accelerator));
    case 'slurm': return cards || (row.accelerator !== null && !isNvidia(row));
    case 'terraform': return card0 || ['gaudi', 'qualcomm-ai100'].includes(row.accelerator);
    case 'torchrun': return !isNvidia(row) || cards;
    default: return false; // dockerfile, placement-group, security-group
  }
}

// YAML

function walk(value, visit, key = '') {
  visit(value, key);
  if (value && typeof value === 'object')
    for (const [k, v] of Object.entries(value)) walk(v, visit, k);
}

function megabytes(quantity) {
  const [, n, unit] = /^([0-9]+)(Mi|Gi)$/.exec(String(quantity)) || [];
  return n * (unit === 'Gi' ? 1024 : 1);
}

function judgeResources(record, resources, row) {
  const { limits, requests } = resources;
  expect(same(limits, requests), 'limits are not requests');
  if (!('vpc.amazonaws.com/efa' in limits)) return;
  expect(limits['vpc.amazonaws.com/efa'] === row.cards, 'not all cards');
  if (record.kind !== 'burnin')
    for (const [resource, n] of Object.entries(row.pod))
      if (!/efa|hugepages/.test(resource)) expect(limits[resource] === n, `not all of ${resource}`);
  const pages = megabytes(limits['hugepages-2Mi']);
  expect(pages > 0 && pages % 2 === 0, 'no whole huge pages');
  if (row.hugepages_2mi !== null) {
    expect(pages <= row.hugepages_2mi * 2, 'more huge pages than the node has');
    expect(megabytes(limits.memory) + row.hugepages_2mi * 2 < row.memory_gib * 1024, 'more memory than the node has');
  }
  expect(megabytes(limits.memory) > 0, 'huge pages without memory');
}

function parseYaml(text) {
  const parsed = ['1.1', '1.2'].map((version) => yaml.parseAllDocuments(text, { version, strict: true }).map((doc) => {
    for (const error of [...doc.errors, ...doc.warnings]) complain(`YAML ${version}: ${error.message}`);
    return doc.toJS();
  }));
  expect(same(parsed[0], parsed[1]), 'YAML 1.1 and 1.2 read something different');
  return parsed[1];
}

function judgeYaml(record, row) {
  const documents = parseYaml(record.text);
  expect(documents.length === schemas[record.kind].length, `${documents.length} documents`);
  documents.forEach((document, i) => {
    const validate = verdicts.get(`${record.kind} ${i}`) || ajv.compile(schemas[record.kind][i]);
    verdicts.set(`${record.kind} ${i}`, validate);
    if (!validate(document)) complain(ajv.errorsText(validate.errors));
    walk(document, (value, key) => {
      if (value && value.limits && value.requests) judgeResources(record, value, row);
      if (key === 'value' && typeof value === 'string') expect(!value.includes('$'), `nobody expands ${value}`);
      if (key === 'node.kubernetes.io/instance-type' || key === 'instanceType')
        expect(value === record.instance, 'another type');
      if (key === 'hostPath') complain('a path of the host');
    });
  });
  return documents;
}

const particular = {
  bottlerocket([config], row) {
    expect(config.managedNodeGroups[0].bottlerocket.settings.kernel.sysctl['vm.nr_hugepages']
      === String(110 * row.vcpus + 1), 'huge pages');
  },
  burnin([service, set], row, record) {
    const { template } = set.spec;
    expect(same(service.spec.selector, template.metadata.labels), 'the service finds no pods');
    expect(same(set.spec.selector.matchLabels, template.metadata.labels), 'the set finds no pods');
    expect(template.spec.containers[0].args[0].includes(`"$cards" -ne ${row.cards} `), 'counts to another number');
    isNewShape(record, 'burnin.sh', `#!/bin/sh\n${template.spec.containers[0].args[0]}`);
  },
  eksctl([config]) {
    const [group] = config.managedNodeGroups;
    expect(config.availabilityZones.includes(group.availabilityZones[0]), 'nodes in a zone of their own');
    expect(group.desiredCapacity === NODES && group.maxSize === NODES, 'nodes');
    expect(group.availabilityZones[0].startsWith(config.metadata.region), 'zone and region');
  },
  mpijob([job], row) {
    const { slotsPerWorker, mpiReplicaSpecs: { Launcher, Worker } } = job.spec;
    const { command } = Launcher.template.spec.containers[0];
    if (isNvidia(row)) expect(slotsPerWorker === row.accelerators, 'slots are not GPUs');
    expect(Worker.replicas === NODES, 'nodes');
    expect(command[command.indexOf('-np') + 1] === String(NODES * slotsPerWorker), '-np');
    expect(command[command.indexOf('-N') + 1] === String(slotsPerWorker), '-N');
  },
  parallelcluster([config]) {
    expect(config.Scheduling.SlurmQueues[0].ComputeResources[0].Efa.Enabled === true, 'no EFA');
  },
  rayjob([job]) {
    const [workers] = job.spec.rayClusterSpec.workerGroupSpecs;
    expect(same([workers.minReplicas, workers.replicas, workers.maxReplicas], [NODES, NODES, NODES]), 'nodes');
  },
  skypilot([task], row, record) {
    expect(task.num_nodes === NODES, 'nodes');
    const { accelerators = ':0' } = task.resources;
    expect(accelerators.endsWith(`:${row.accelerators}`), 'accelerators');
    expect(parseInt(task.resources.cpus, 10) < row.vcpus, 'cpus');
    const [, n] = /-N ([0-9]+) /.exec(task.run);
    if (row.accelerator !== null) expect(Number(n) === row.accelerators, '-N');
    expect(task.run.includes(`-np ${NODES * n} `), '-np');
    isNewShape(record, 'skypilot-run.sh', `#!/bin/bash\n${task.run}`);
  },
};

// Scripts

function runScript(text) {
  const got = spawnSync('/bin/sh', ['-s'], {
    input: text,
    encoding: 'utf8',
    env: { PATH: `${path.join(folder, 'bin')}:${process.env.PATH}` },
  });
  if (got.status !== 0 || got.stderr.replace(/^aws.*$/gm, '').trim()) complain(`exit ${got.status}: ${got.stderr}`);
  return fs.readFileSync(path.join(folder, 'bin', 'calls'), 'utf8').split('\0\0').filter(Boolean)
    .map((call) => call.split('\0'));
}

function option(call, name) {
  return call[call.indexOf(name) + 1];
}

function judgeInterfaces(list, row) {
  const places = list.map((i) => `${i.NetworkCardIndex}/${i.DeviceIndex}`);
  const efas = list.filter((i) => i.InterfaceType !== 'interface').map((i) => Number(i.NetworkCardIndex));
  expect(new Set(places).size === places.length, 'two interfaces in one place');
  expect(places[0] === '0/0' && list[0].InterfaceType !== 'efa-only', 'no address on the first card');
  expect(efas.length === row.cards, `${efas.length} EFAs`);
  expect(new Set(efas).size === efas.length, 'two EFAs on a card');
  expect(efas.every((card) => card < row.network_cards), 'a card that is not there');
  if (row.network_cards > row.cards) expect(!efas.includes(0), 'EFA on the card that has none');
}

const scripts = {
  'launch-template'([call], row) {
    const data = JSON.parse(option(call, '--launch-template-data'));
    const validate = verdicts.get('launch') || ajv.compile(schemas.launchTemplate);
    verdicts.set('launch', validate);
    if (!validate(data)) complain(ajv.errorsText(validate.errors));
    judgeInterfaces(data.NetworkInterfaces, row);
  },
  'run-instances'([call], row) {
    const at = call.indexOf('--network-interfaces') + 1;
    const list = call.slice(at).map((one) => Object.fromEntries(one.split(',').map((pair) => pair.split('='))));
    judgeInterfaces(list, row);
    expect(new Set(list.map((i) => i.SubnetId)).size === 1, 'more than one subnet');
    expect(option(call, '--count') === String(NODES), 'nodes');
  },
  'security-group'(calls) {
    for (const [direction, n] of [['ingress', 1], ['egress', 1]]) {
      const rules = calls.filter((call) => call[1] === `authorize-security-group-${direction}`
        && (option(call, '--ip-permissions') || '') === 'IpProtocol=-1,UserIdGroupPairs=[{GroupId=sg-made}]'
        && option(call, '--group-id') === 'sg-made');
      expect(rules.length === n, `${rules.length} rules for ${direction}`);
    }
  },
  'placement-group'([call]) {
    expect(option(call, '--strategy') === 'cluster', 'strategy');
  },
};

function judgeScript(record, row) {
  // Those about an instance type differ in what they ask for, the others do not.
  const name = `${record.kind}.sh`;
  const isNew = isNewShape(record, name, record.text);
  if (!(record.kind in scripts)) {
    expect(record.text.includes(` ${row.cards} `), 'the number of cards');
    return;
  }
  if (isNew || /interfaces?/.test(record.text)) {
    const key = record.text.replaceAll(record.instance, 'TYPE');
    if (!verdicts.has(key)) verdicts.set(key, runScript(record.text));
    scripts[record.kind](verdicts.get(key), row);
  }
}

// Others

async function judgeTerraform(record, row) {
  const key = record.text.replaceAll(record.instance, 'TYPE');
  if (!verdicts.has(key)) verdicts.set(key, await hcl.parse('eks.tf', record.text));
  const [cluster] = verdicts.get(key).module.eks;
  const group = cluster.eks_managed_node_groups.efa;
  expect(cluster.enable_efa_support === true && group.enable_efa_support === true, 'EFA on both levels');
  expect(group.subnet_ids.length === 1 && cluster.subnet_ids.length === 2, 'subnets');
  expect(record.text.includes(`instance_types = ["${record.instance}"]`), 'another type');
  const images = [[isNvidia(row), 'NVIDIA'], ['aws.amazon.com/neuron' in row.pod, 'NEURON'], [true, 'STANDARD']];
  expect(group.ami_type.endsWith(images.find(([is]) => is)[1]), group.ami_type);
}

function judgeDockerfile(record) {
  if (!isNewShape(record, 'dockerfile.docker', record.text)) return;
  for (const d of validateDockerfile(record.text)) complain(`line ${d.range.start.line + 1}: ${d.message}`);
  const run = /^RUN ((?:.*\\\n)*.*)$/m.exec(record.text)[1];
  isNewShape(record, 'dockerfile-run.sh', `#!/bin/sh\n: "\${EFA_INSTALLER:=1}"\n${run}\n`);
}

async function judge(record) {
  const row = facts.get(record.instance);
  where = `${record.kind} ${record.instance} ${record.how}`;
  if (record.made === mayRefuse(record.kind, row, record.how)) {
    complain(record.made ? 'made of facts that no source states' : record.text);
    return;
  }
  if (!record.made) {
    expect(/^no (source states of|.* for it: )/.test(record.text) && !record.text.includes('\n'), record.text);
    return;
  }
  expect(record.text.endsWith('\n') && !/[ \t]$/m.test(record.text), 'blanks at the end of a line');
  expect(!/@[a-z0-9-]+@/.test(record.text), 'a hole');
  if (record.kind in schemas) {
    isNewShape(record, `${record.kind}.yaml`, record.text);
    const documents = judgeYaml(record, row);
    if (record.kind in particular) particular[record.kind](documents, row, record);
  } else if (record.kind === 'terraform') {
    await judgeTerraform(record, row);
  } else if (record.kind === 'dockerfile') {
    judgeDockerfile(record);
  } else {
    judgeScript(record, row);
  }
}

async function main() {
  const counts = {};
  const bin = path.join(folder, 'bin');
  fs.mkdirSync(bin);
  fs.writeFileSync(path.join(bin, 'aws'), `#!/bin/sh
[ "$2" != create-security-group ] || { : >"${bin}/calls"; echo sg-made; }
case $2 in create-placement-group | run-instances | create-launch-template) : >"${bin}/calls" ;; esac
printf '%s\\0' "$@" >>"${bin}/calls"
printf '\\0' >>"${bin}/calls"
`, { mode: 0o755 });
  for (const record of records(fs.readFileSync(0))) {
    counts[record.made ? 'made' : 'refused'] = (counts[record.made ? 'made' : 'refused'] || 0) + 1;
    try {
      await judge(record);
    } catch (error) {
      complain(error.stack);
    }
  }
  console.log(`${counts.made} made, ${counts.refused} refused, ${shapes.size} shapes`);
  for (const problem of problems.slice(0, 20)) console.log(problem);
  if (problems.length > 20) console.log(`... and ${problems.length - 20} more`);
  process.exit(problems.length || !counts.made ? 1 : 0);
}

main();
