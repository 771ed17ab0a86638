// SPDX-License-Identifier: BSD-2-Clause
// test_plugin.js PLUGIN LIBRARY MODULES: the device plugin before a kubelet that is written on @grpc/grpc-js, which knows nothing of
// weft. MODULES is where tools/dev/judges put the npm modules. TAP.
'use strict';

const { spawn } = require('child_process');
const { createRequire } = require('module');
const assert = require('assert');
const fs = require('fs');
const os = require('os');
const path = require('path');

const [plugin, library, modules] = process.argv.slice(2);

function skip(reason) {
  console.log(`1..0 # SKIP ${reason}`);
  console.log(reason);
  process.exit(0);
}

if (!fs.existsSync(`${modules}/node_modules/@grpc/grpc-js/package.json`))
  skip('no npm modules here: tools/dev/judges gets them, with npm and a network');
const npm = createRequire(path.resolve(modules, 'index.js'));
const grpc = npm('@grpc/grpc-js');
const loader = npm('@grpc/proto-loader');
const api = grpc.loadPackageDefinition(
  loader.loadSync(path.join(__dirname, 'deviceplugin.proto'), { keepCase: true, longs: Number, defaults: true })).v1beta1;
const { Kubelet, ask, refused, until, watch } = require('./kubelet.js');

const RESOURCE = 'vpc.amazonaws.com/efa';
const ENDPOINT = 'weft-vpc.amazonaws.com_efa.sock';
const top = fs.mkdtempSync(path.join(os.tmpdir(), 'weft-kube.'));
const running = new Set();
let folders = 0;

// A folder for kubelet and one with a library; both may go away.
function place() {
  const dir = path.join(top, String(folders++));
  fs.mkdirSync(path.join(dir, 'lib'), { recursive: true });
  fs.mkdirSync(path.join(dir, 'k'));
  fs.symlinkSync(path.resolve(library), path.join(dir, 'lib', 'libweft-preload.so'));
  return { dir, kubelet: path.join(dir, 'k'), lib: path.join(dir, 'lib') };
}

// The plugin, and what it says.
function start(at, ...args) {
  const child = spawn(plugin, ['--kubelet-dir', at.kubelet, '--library-dir', at.lib, '--check-interval', '100ms',
    '--log-json', '--root', at.root || at.dir, ...args], { stdio: ['ignore', 'ignore', 'pipe'], ...at.spawn });
  const p = { child, log: [], text: '' };
  running.add(child);
  child.stderr.on('data', (data) => {
    p.text += data;
    const lines = p.text.split('\n');
    p.text = lines.pop();
    for (const line of lines) p.log.push(JSON.parse(line));
  });
  p.ended = new Promise((resolve) => child.on('close', (code) => {
    running.delete(child);
    resolve(code);
  }));
  p.said = (msg) => until(`"${msg}" in the log`, () => p.log.find((line) => line.msg === msg));
  p.rss = () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]);
  p.stop = () => {
    child.kill('SIGTERM');
    return p.ended;
  };
  return p;
}

const kubelet = (at, answer) => new Kubelet(grpc, api, at.kubelet, answer).start();

// Everything that is usual: a kubelet, a plugin that has registered, a client of it that watches.
async function ready(...args) {
  const at = place();
  const k = await kubelet(at);
  const p = start(at, ...args);
  const request = await k.registered();
  const client = k.client(request.endpoint);
  const seen = watch(client);
  await seen.last('a list', () => true);
  return { at, k, p, request, client, seen };
}

const healthy = (list) => list.filter((device) => device.health === 'Healthy').length;
const ids = (list) => list.map((device) => device.ID);
const bare = (text) => JSON.parse(JSON.stringify(text));

const tests = {
  async registers() {
    const { request, client, seen } = await ready('--cards', '4');
    assert.deepStrictEqual(bare(request), {
      version: 'v1beta1', endpoint: ENDPOINT, resource_name: RESOURCE,
      options: { pre_start_required: false, get_preferred_allocation_available: true },
    });
    assert.deepStrictEqual(bare(await ask(client, 'GetDevicePluginOptions')), bare(request.options));
    assert.strictEqual(seen.lists[0].length, 4);
    assert.strictEqual(new Set(ids(seen.lists[0])).size, 4);
    assert.strictEqual(healthy(seen.lists[0]), 4);
  },

  async allocates() {
    const { at, client, seen } = await ready('--instance', 'p4d.24xlarge', '--env', 'WEFT_LOG=info');
    const [a, b, c, d] = ids(seen.lists[0]);
    assert.deepStrictEqual([a, b, c, d], ['rdmap16s27', 'rdmap32s27', 'rdmap144s27', 'rdmap160s27']);
    const reply = await ask(client, 'Allocate', {
      container_requests: [{ devices_ids: [d, b] }, { devices_ids: [a] }, { devices_ids: [] }],
    });
    const [first, second, none] = bare(reply.container_responses);
    assert.deepStrictEqual(first, {
      envs: {
        LD_PRELOAD: '/opt/weft/lib/libweft-preload.so', WEFT_INSTANCE: 'p4d.24xlarge', WEFT_VISIBLE: '1,3', WEFT_LOG: 'info',
        FI_EFA_USE_DEVICE_RDMA: '1', FI_EFA_INTER_MIN_READ_MESSAGE_SIZE: '131072',
      },
      mounts: [{ container_path: '/opt/weft/lib', host_path: at.lib, read_only: true }],
      devices: [], annotations: {},
    });
    assert.strictEqual(second.envs.WEFT_VISIBLE, '0');
    assert.deepStrictEqual(none, { envs: {}, mounts: [], devices: [], annotations: {} });
    const error = await refused(client, 'Allocate', { container_requests: [{ devices_ids: [a, 'nö%such'] }] });
    assert.strictEqual(error.code, grpc.status.NOT_FOUND);
    assert.match(error.details, /^vpc.amazonaws.com\/efa has no device "nö%such"$/);
  },

  async pre_start() {
    const { client, seen } = await ready('--cards', '2');
    assert.deepStrictEqual(bare(await ask(client, 'PreStartContainer', { devices_ids: ids(seen.lists[0]) })), {});
    assert.strictEqual((await refused(client, 'PreStartContainer', { devices_ids: ['x'] })).code, grpc.status.NOT_FOUND);
  },

  async health() {
    const { at, p, seen } = await ready('--cards', '3');
    fs.renameSync(at.lib, at.lib + '.away');
    await seen.last('no healthy card', (list) => list.length === 3 && healthy(list) === 0);
    assert.match((await p.said('card is not healthy')).why, /libweft-preload.so/);
    fs.renameSync(at.lib + '.away', at.lib);
    await seen.last('three healthy cards', (list) => healthy(list) === 3);
  },

  async kubelet_restarts() {
    const { at, k, p, seen } = await ready('--cards', '4');
    for (let round = 0; round < 3; round++) {
      k.stop();
      const next = await kubelet(at);
      const request = await next.registered();
      const again = watch(next.client(request.endpoint));
      await again.last('a list', (list) => healthy(list) === 4);
      next.stop();
    }
    assert(seen.ended);
    assert.strictEqual(p.child.exitCode, null);
  },

  async socket_is_deleted() {
    const { at, k } = await ready('--cards', '4');
    fs.rmSync(path.join(at.kubelet, ENDPOINT));
    const request = await k.registered(2);
    await watch(k.client(request.endpoint)).last('a list', (list) => healthy(list) === 4);
  },

  async before_kubelet() {
    const at = place();
    fs.rmdirSync(at.kubelet);
    const p = start(at, '--cards', '1');
    await p.said('no socket yet; trying again');
    const k = await kubelet(at);
    await watch(k.client((await k.registered()).endpoint)).last('a list', (list) => healthy(list) === 1);
  },

  async two_of_one_resource() {
    const { at, k, client } = await ready('--cards', '4');
    const second = start(at, '--cards', '2');
    assert.strictEqual(await second.ended, 2);
    assert.match(second.log[0].why, /another plugin serves vpc.amazonaws.com\/efa: .*answers/);
    assert.strictEqual(k.registrations.length, 1);
    await ask(client, 'GetDevicePluginOptions');
    const other = start(at, '--cards', '2', '--resource', 'example.org/efa');
    await k.registered(2);
    assert.strictEqual(await other.stop(), 0);
  },

  async stops() {
    const { at, p, seen } = await ready('--cards', '4');
    assert.strictEqual(await p.stop(), 0);
    await until('the end of the stream', () => seen.ended);
    assert(!fs.existsSync(path.join(at.kubelet, ENDPOINT)));
    // What a plugin that was killed has left is no plugin.
    const killed = start(at, '--cards', '4');
    await until('its socket', () => fs.existsSync(path.join(at.kubelet, ENDPOINT)));
    killed.child.kill('SIGKILL');
    await killed.ended;
    const next = start(at, '--cards', '4');
    await next.said('registered with kubelet');
    assert.strictEqual(await next.stop(), 0);
  },

  async registration_fails() {
    const at = place();
    const error = { code: grpc.status.UNKNOWN, details: 'requested API version "v1beta1" is not supported by kübelet' };
    const k = await kubelet(at, (request, count) => (count < 3 ? error : null));
    const p = start(at, '--cards', '1');
    await k.registered(4);
    await p.said('registered with kubelet');
    const said = p.log.filter((line) => line.msg === 'registration failed; trying again');
    assert.strictEqual(said.length, 1);
    assert.strictEqual(said[0].why, `kubelet: ${error.details} (2)`);
  },
};

async function main() {
  const names = Object.keys(tests);
  let failed = 0;
  console.log(`1..${names.length}`);
  // All at once: each spends its time waiting.
  const results = names.map((name) => tests[name]().then(() => null, (error) => error));
  for (const [i, name] of names.entries()) {
    const error = await results[i];
    failed += error ? 1 : 0;
    console.log(`${error ? 'not ok' : 'ok'} ${i + 1} - ${name}`);
    if (error) console.log(String(error.stack).replace(/^/gm, '# '));
  }
  for (const child of running) child.kill('SIGKILL');
  fs.rmSync(top, { recursive: true, force: true });
  process.exit(failed ? 1 : 0);
}

main();
