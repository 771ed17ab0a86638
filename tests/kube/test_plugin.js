// SPDX-License-Identifier: BSD-2-Clause
// test_plugin.js PLUGIN LIBRARY FIXTURES MODULES SANITIZER: the device plugin before a kubelet that is written
// on @grpc/grpc-js, which knows nothing of weft. FIXTURES makes machines with cards, MODULES is where tools/dev/judges put
// the npm modules, SANITIZER what both are built with, or none. TAP.
'use strict';

const { spawn, spawnSync } = require('child_process');
const { createRequire } = require('module');
const assert = require('assert');
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const net = require('net');
const os = require('os');
const path = require('path');

const [plugin, library, fixtures, modules, sanitizer] = process.argv.slice(2);

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
  const child = spawn(at.program || plugin, ['--kubelet-dir', at.kubelet, '--library-dir', at.lib, '--check-interval', '100ms',
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

// A sanitizer has memory of its own.
function holds(p, kib, what) {
  const got = p.rss();
  console.log(`# ${got} KiB resident ${what}`);
  assert(sanitizer !== 'none' || got < kib, `${got} KiB resident ${what}, not less than ${kib}`);
}

// A card that is what kubelet is told, by number.
const state = (list) => list.map((device) => (device.health === 'Healthy' ? '+' : '-')).join('');

// A machine out of tests/fixtures.
function machine(at, type) {
  at.root = path.join(at.dir, 'root');
  const made = spawnSync('python3', ['-c', 'import machine, sys; machine.write(machine.machine(sys.argv[1]), sys.argv[2])',
    type, at.root], { env: { ...process.env, PYTHONPATH: fixtures }, encoding: 'utf8' });
  assert.strictEqual(made.status, 0, made.stderr);
}

// HTTP/2 without gRPC's library: one request as it should not be. Result: the headers and trailers of the answer.
function raw(at, headers, chunks, { settings, gap } = {}) {
  const session = http2.connect('http://localhost', {
    createConnection: () => net.connect(path.join(at.kubelet, ENDPOINT)), settings,
  });
  return new Promise((resolve, reject) => {
    const got = { bytes: 0 };
    const request = session.request({ ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers', ...headers });
    session.on('error', reject);
    request.on('error', (error) => (got.error = error));
    request.on('response', (all) => Object.assign(got, all));
    request.on('trailers', (all) => Object.assign(got, all));
    request.on('data', (data) => (got.bytes += data.length));
    request.on('close', () => {
      session.close();
      resolve(got);
    });
    (async () => {
      for (const chunk of chunks) {
        if (request.destroyed) return;
        request.write(chunk);
        if (gap) await new Promise((resolve_) => setImmediate(resolve_));
      }
      request.end();
    })();
  });
}

// Bytes on the socket; resolves when the plugin has hung up, or answered something, or after a moment.
function blast(at, chunks) {
  return new Promise((resolve) => {
    const socket = net.connect(path.join(at.kubelet, ENDPOINT));
    const got = [];
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(Buffer.concat(got));
    };
    const timer = setTimeout(done, 300);
    socket.on('error', done);
    socket.on('close', done);
    socket.on('data', (data) => got.push(data));
    for (const chunk of chunks) socket.write(chunk);
  });
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

function frame(type, flags, stream, payload = Buffer.alloc(0), length = payload.length) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const repeat = (count, make) => Array.from({ length: count }, (_, i) => make(i));

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
    assert.deepStrictEqual(p.log.filter((line) => line.level !== 'info'), []);
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

  async prefers() {
    // 32 cards, 8 GPUs: four cards go with each.
    const { client, seen } = await ready('--instance', 'p5.48xlarge');
    const all = ids(seen.lists[0]);
    const prefer = async (available, must, size) => {
      const reply = await ask(client, 'GetPreferredAllocation', {
        container_requests: [{ available_deviceIDs: available, must_include_deviceIDs: must, allocation_size: size }],
      });
      return reply.container_responses[0].deviceIDs;
    };
    assert.deepStrictEqual(await prefer(all, [], 4), all.slice(0, 4));
    assert.deepStrictEqual(await prefer(all.slice(1).reverse(), [], 4), all.slice(4, 8));
    assert.deepStrictEqual(await prefer(all, [all[9]], 4), all.slice(8, 12));
    assert.deepStrictEqual(await prefer(all.slice(0, 3), [], 3), all.slice(0, 3));
    const error = await refused(client, 'GetPreferredAllocation', {
      container_requests: [{ available_deviceIDs: all, allocation_size: -1 }],
    });
    assert.strictEqual(error.code, grpc.status.INTERNAL);
  },

  async devices_256() {
    const { at, k, p, seen, client } = await ready('--cards', '32', '--shared', '8');
    const all = ids(seen.lists[0]);
    assert.strictEqual(new Set(all).size, 256);
    const reply = await ask(client, 'Allocate', { container_requests: [{ devices_ids: all }] });
    assert.strictEqual(reply.container_responses[0].envs.WEFT_VISIBLE, repeat(32, (i) => i).join(','));
    const { container_responses: [{ deviceIDs }] } = await ask(client, 'GetPreferredAllocation', {
      container_requests: [{ available_deviceIDs: all, allocation_size: 32 }],
    });
    assert.strictEqual(new Set(deviceIDs.map((id) => id.replace(/::.*/, ''))).size, 32);
    for (let i = 0; i < 100; i++) await ask(client, 'Allocate', { container_requests: [{ devices_ids: [all[i]] }] });
    holds(p, 8192, 'with 256 devices and 102 calls');
    assert(fs.existsSync(path.join(at.kubelet, ENDPOINT)) && k.registrations.length === 1);
  },

  async cordon() {
    const at = place();
    const file = path.join(at.dir, 'cordon');
    const k = await kubelet(at);
    const p = start(at, '--instance', 'p4d.24xlarge', '--cordon', file);
    const seen = watch(k.client((await k.registered()).endpoint));
    await seen.last('four healthy cards', (list) => state(list) === '++++');
    fs.writeFileSync(file, '# broken fan\nrdmap32s27 rdmap160s27 # and this one\n# rdmap16s27\n');
    await seen.last('two healthy cards', (list) => state(list) === '+-+-');
    assert.strictEqual((await p.said('card is not healthy')).why, 'taken out of service (--cordon)');
    fs.rmSync(file);
    await seen.last('four healthy cards', (list) => state(list) === '++++');
  },

  async real_cards() {
    const at = place();
    machine(at, 'p4d.24xlarge');
    const k = await kubelet(at);
    const p = start(at);
    const client = k.client((await k.registered()).endpoint);
    const seen = watch(client);
    const list = await seen.last('four cards', (devices) => state(devices) === '++++');
    assert.deepStrictEqual(ids(list), ['0000:10:1b.0', '0000:14:1b.0', '0000:18:1b.0', '0000:1c:1b.0']);
    assert.deepStrictEqual(list.map((device) => device.topology.nodes[0].ID), [0, 1, 0, 1]);
    const reply = await ask(client, 'Allocate', { container_requests: [{ devices_ids: [ids(list)[2], ids(list)[1]] }] });
    assert.deepStrictEqual(bare(reply.container_responses[0]), {
      envs: {}, mounts: [], annotations: {},
      devices: ['uverbs1', 'uverbs2'].map((name) => ({
        container_path: `/dev/infiniband/${name}`, host_path: `/dev/infiniband/${name}`, permissions: 'rw',
      })),
    });
    // Two of one NUMA node, though they are not neighbours.
    const best = await ask(client, 'GetPreferredAllocation', {
      container_requests: [{ available_deviceIDs: ids(list), must_include_deviceIDs: ['0000:14:1b.0'], allocation_size: 2 }],
    });
    assert.deepStrictEqual(best.container_responses[0].deviceIDs, ['0000:14:1b.0', '0000:1c:1b.0']);
    const sys = path.join(at.root, 'sys/devices/pci0000:14/0000:14:1b.0');
    fs.writeFileSync(path.join(sys, 'infiniband/rdmap20s27/ports/1/state'), '1: DOWN\n');
    await seen.last('a port that is down', (devices) => state(devices) === '+-++');
    const down = await refused(client, 'Allocate', { container_requests: [{ devices_ids: [ids(list)[1]] }] });
    assert.deepStrictEqual([down.code, down.details], [9, '0000:14:1b.0: its port is not active']);
    fs.rmSync(path.join(at.root, 'dev/infiniband/uverbs2'));
    await seen.last('a device file that is gone', (devices) => state(devices) === '+--+');
    fs.rmSync(path.join(at.root, 'sys/bus/pci/devices/0000:1c:1b.0'));
    fs.rmSync(path.join(at.root, 'sys/devices/pci0000:1c'), { recursive: true });
    await seen.last('a card that is gone', (devices) => state(devices) === '+---');
    fs.writeFileSync(path.join(sys, 'infiniband/rdmap20s27/ports/1/state'), '4: ACTIVE\n');
    await seen.last('a port that is up again', (devices) => state(devices) === '++--');
    // Under the same name the two kinds are not to be mixed.
    const mixed = start(at, '--cards', '2');
    assert.strictEqual(await mixed.ended, 2);
    assert.match(mixed.log[0].why, /--software-resource/);
    // Both, each with its name.
    await p.stop();
    const both = start(at, '--cards', '2', '--software-resource', 'weft.dev/efa');
    await k.registered(3);
    const [soft] = k.registrations.filter((request) => request.resource_name === 'weft.dev/efa');
    await watch(k.client(soft.endpoint)).last('two cards', (devices) => state(devices) === '++');
    assert.strictEqual(await both.stop(), 0);
  },

  async no_card() {
    const { seen, p } = await ready();
    assert.deepStrictEqual(seen.lists[0], []);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.strictEqual(p.child.exitCode, null);
  },

  async metrics() {
    const at = place();
    const k = await kubelet(at);
    const listener = net.createServer();
    const port = await new Promise((resolve) => listener.listen(0, '127.0.0.1', () => resolve(listener.address().port)));
    await new Promise((resolve) => listener.close(resolve));
    start(at, '--instance', 'p4d.24xlarge', '--metrics', `127.0.0.1:${port}`, '--shared', '2');
    const client = k.client((await k.registered()).endpoint);
    const seen = watch(client);
    await seen.last('a list', () => true);
    await ask(client, 'Allocate', { container_requests: [{ devices_ids: ids(seen.lists[0]).slice(0, 3) }] });
    const scrape = (accept) => new Promise((resolve, reject) =>
      http.get({ port, host: '127.0.0.1', path: '/metrics', headers: { accept } }, (reply) => {
        let text = '';
        reply.on('data', (data) => (text += data));
        reply.on('end', () => resolve(text));
      }).on('error', reject));
    const text = await scrape('text/plain');
    for (const line of [
      `weft_device_plugin_watched{resource="${RESOURCE}"} 1`,
      `weft_device_plugin_devices{resource="${RESOURCE}",health="healthy"} 8`,
      `weft_device_plugin_card_healthy{resource="${RESOURCE}",card="rdmap16s27"} 1`,
      `weft_device_plugin_registrations_total{resource="${RESOURCE}"} 1`,
      `weft_device_plugin_allocated_devices_total{resource="${RESOURCE}"} 3`,
      '# TYPE weft_device_plugin_calls_total counter',
    ]) assert(text.split('\n').includes(line), `${line} in\n${text}`);
    assert.match(await scrape('application/openmetrics-text'), /# TYPE weft_device_plugin_calls counter\n[^]*\n# EOF\n$/);
    const linted = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    if (linted.error) console.log('# promtool is not here');
    else assert.strictEqual(linted.status, 0, linted.stderr);
  },

  async unprivileged() {
    if (process.getuid() !== 0) return;
    const at = place();
    const nobody = 65534;
    fs.chmodSync(top, 0o755);
    fs.chownSync(at.kubelet, nobody, nobody);
    const own = path.join(at.dir, 'weft-device-plugin');
    fs.copyFileSync(plugin, own); // Whoever it is may not be able to enter the build folder, ...
    fs.chmodSync(own, 0o755);
    fs.rmSync(path.join(at.lib, 'libweft-preload.so')); // ... and here follow the link into it.
    fs.copyFileSync(library, path.join(at.lib, 'libweft-preload.so'));
    at.spawn = { uid: nobody, gid: nobody };
    at.program = own;
    const k = await kubelet(at);
    fs.chownSync(path.join(at.kubelet, 'kubelet.sock'), nobody, nobody); // The one thing that it has to be allowed.
    start(at, '--cards', '4');
    await watch(k.client((await k.registered()).endpoint)).last('four cards', (list) => state(list) === '++++');
  },

  async strange_requests() {
    const { at, client } = await ready('--cards', '4');
    const options = '/v1beta1.DevicePlugin/GetDevicePluginOptions';
    const empty = Buffer.from([0, 0, 0, 0, 0]);
    const good = await raw(at, { ':path': options }, [empty]);
    assert.deepStrictEqual([good[':status'], good['grpc-status'], good.bytes], [200, '0', 7]);
    // As kubelets before 1.26 do.
    const old = await raw(at, { ':path': options, ':authority': '/var/lib/kubelet/device-plugins/x.sock' }, [empty]);
    assert.strictEqual(old['grpc-status'], '0');
    const typed = await raw(at, { ':path': options, 'content-type': 'application/grpc+proto' }, [empty]);
    assert.strictEqual(typed['grpc-status'], '0');
    const drip = await raw(at, { ':path': options }, [...empty].map((byte) => Buffer.from([byte])), { gap: true });
    assert.strictEqual(drip['grpc-status'], '0');
    const rows = [
      ['grpc-status', '12', { ':path': '/v1beta1.DevicePlugin/Nonsense' }, [empty]],
      ['grpc-status', '12', { ':path': `/${'x'.repeat(4000)}` }, [empty]],
      ['grpc-status', '12', { ':path': options }, [Buffer.from([1, 0, 0, 0, 0])]],
      ['grpc-status', '13', { ':path': options }, []],
      ['grpc-status', '13', { ':path': options }, [Buffer.from([0, 0, 0, 0])]],
      ['grpc-status', '13', { ':path': options }, [Buffer.from([0, 0, 0, 0, 9])]],
      ['grpc-status', '13', { ':path': options }, [Buffer.from([0, 255, 255, 255, 255])]],
      ['grpc-status', '13', { ':path': options }, [empty, empty]],
      ['grpc-status', '13', { ':path': options.replace(/Get.*/, 'Allocate') }, [Buffer.from([0, 0, 0, 0, 3, 10, 200, 1])]],
      ['grpc-status', '8', { ':path': options }, repeat(64, () => Buffer.alloc(16384))],
      [':status', 415, { ':path': options, 'content-type': 'application/json' }, [empty]],
      [':status', 405, { ':path': options, ':method': 'GET' }, []],
    ];
    for (const [name, value, headers, chunks] of rows) {
      const got = await raw(at, headers, chunks);
      assert.strictEqual(got[name], value, `${JSON.stringify(headers)} ${chunks.length}: ${JSON.stringify(got)}`);
    }
    await ask(client, 'GetDevicePluginOptions');
  },

  async malformed_frames() {
    const { at, p, client } = await ready('--cards', '4');
    const settings = frame(4, 0, 0);
    const noise = repeat(64, (i) => Buffer.from(repeat(256, (k) => (i * 167 + k * k * 31) & 255)));
    const inputs = [
      [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
      noise,
      [PREFACE, ...noise],
      [PREFACE.subarray(0, 10)],
      [PREFACE, frame(0, 0, 0, Buffer.alloc(8))], // DATA of no stream.
      [PREFACE, settings, frame(4, 0, 0, Buffer.alloc(5))], // SETTINGS of a wrong length.
      [PREFACE, settings, frame(0, 0, 1, Buffer.alloc(0), 0xffffff)], // Longer than allowed.
      [PREFACE, settings, frame(1, 4, 1, Buffer.alloc(64, 0xff))], // HEADERS that cannot be decompressed.
      [PREFACE, settings, frame(1, 4, 2, Buffer.from([0x82]))], // A stream that is ours to open.
      [PREFACE, settings, frame(9, 4, 1, Buffer.from([0x82]))], // CONTINUATION of nothing.
      [PREFACE, settings, frame(8, 0, 0, Buffer.alloc(4))], // WINDOW_UPDATE by nothing.
      [PREFACE, settings, frame(1, 0, 1, Buffer.from([0x83])), ...repeat(2000, () => frame(9, 0, 1, Buffer.alloc(64)))],
      [PREFACE, settings, ...repeat(5000, () => frame(6, 0, 0, Buffer.alloc(8)))], // PING, and again.
      [PREFACE, settings, ...repeat(5000, () => settings)],
      [PREFACE, settings, ...repeat(3000, (i) => Buffer.concat([
        frame(1, 4, 2 * i + 1, Buffer.from([0x83])), frame(3, 0, 2 * i + 1, Buffer.alloc(4))]))], // Opened and reset.
    ];
    for (const input of inputs) await blast(at, input);
    // More connections than it keeps, all silent: the watch goes on, and so do calls.
    const silent = repeat(40, () => net.connect(path.join(at.kubelet, ENDPOINT)));
    for (const socket of silent) socket.on('error', () => {});
    await ask(client, 'GetDevicePluginOptions');
    for (const socket of silent) socket.destroy();
    await ask(client, 'GetDevicePluginOptions');
    holds(p, 8192, 'after malformed frames');
  },

  async slow_reader() {
    const { at, p, seen } = await ready('--cards', '32', '--shared', '8');
    // A window of 16 bytes, and nobody takes what is in it.
    const session = http2.connect('http://localhost', {
      createConnection: () => net.connect(path.join(at.kubelet, ENDPOINT)), settings: { initialWindowSize: 16 },
    });
    const slow = session.request({
      ':method': 'POST', ':path': '/v1beta1.DevicePlugin/ListAndWatch', 'content-type': 'application/grpc',
    });
    slow.end(Buffer.from([0, 0, 0, 0, 0]));
    const before = await until('its turn', () => p.log.filter((line) => line.msg === 'kubelet is watching').length === 2) && p.rss();
    for (let round = 0; round < 20; round++) {
      fs.renameSync(at.lib, at.lib + '.away');
      await seen.last('no healthy card', (list) => healthy(list) === 0);
      fs.renameSync(at.lib + '.away', at.lib);
      await seen.last('healthy cards', (list) => healthy(list) === 256);
    }
    holds(p, before + 1024, 'with a reader that does not read');
    // Once it reads, it gets what it was about to get, and then the newest, and not what was between.
    let bytes = Buffer.alloc(0);
    const lists = () => {
      const found = [];
      for (let at_ = 0; at_ + 5 <= bytes.length; at_ += 5 + bytes.readUInt32BE(at_ + 1))
        if (at_ + 5 + bytes.readUInt32BE(at_ + 1) <= bytes.length) found.push(at_);
      return found.length;
    };
    slow.on('data', (data) => (bytes = Buffer.concat([bytes, data])));
    await until('two lists', () => lists() === 2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.strictEqual(lists(), 2);
    session.destroy();
  },

  async comes_back() {
    // The stream ends, and the same kubelet is there: somebody may have taken the resource. Not forever.
    const { k, p, seen } = await ready('--cards', '4');
    seen.stream.cancel();
    await p.said('kubelet has stopped watching; it has devices no more');
    await k.registered(2);
  },

  async amazons_plugin() {
    const at = place();
    const other = net.createServer().listen(path.join(at.kubelet, 'aws-efa-device-plugin.sock'));
    const p = start(at, '--cards', '4');
    assert.strictEqual(await p.ended, 2);
    assert.match(p.log[0].why, /Amazon's plugin serves vpc.amazonaws.com\/efa/);
    const named = start(at, '--cards', '4', '--resource', 'weft.dev/efa');
    await named.said('offering');
    assert.strictEqual(await named.stop(), 0);
    other.close();
  },

  async arguments() {
    const at = place();
    const rows = [
      [['--cards', '33'], /WEFT_CARDS: .*33/], [['--instance', 'p4.24xlarge'], /no instance type .*p4.24xlarge/],
      [['--cards', '1', '--env', 'WEFT_VISIBLE=0'], /WEFT_VISIBLE is for the plugin to set/],
      [['--cards', '1', '--env', 'WEFT_LOGG=info'], /no such setting.*WEFT_LOG/], [['--root', '/nonexistent'], /nonexistent/],
      [['--metrics', '127.0.0.1'], /an address and a port/],
      [['--resource', 'efa'], /a name like/], [['--resource', 'none'], /then what/], [['--shared', '0'], /from 1 to 64/],
      [['--env', 'X'], /NAME=VALUE/], [['--software-resource', 'a/b'], /goes with/], [['extra'], /no such argument/],
      [['--check-interval', '1'], /a time of/], [['--library-dir', 'x', '--cards', '1'], /absolute/], [['--nonsense'], /nonsense/],
    ];
    for (const [args, want] of rows) {
      const got = spawnSync(plugin, ['--kubelet-dir', at.kubelet, ...args], { encoding: 'utf8', timeout: 20000 });
      assert.strictEqual(got.status, 2, `${args}: ${got.stderr}`);
      assert.match(got.stderr, want);
      assert.strictEqual(got.stderr.trim().split('\n').length, 1);
    }
    const long = path.join(at.dir, 'x'.repeat(100));
    assert.match(spawnSync(plugin, ['--kubelet-dir', long], { encoding: 'utf8' }).stderr, /too long for the name of a socket/);
    const help = spawnSync(plugin, ['--help'], { encoding: 'utf8' });
    assert.strictEqual(help.status, 0);
    assert.match(help.stdout, /^usage: weft-device-plugin/);
    const man = fs.readFileSync(path.join(__dirname, '../../docs/man/weft-device-plugin.1'), 'utf8');
    for (const [, option] of help.stdout.matchAll(/--([a-z-]+)/g))
      assert(new RegExp(`(Fl -|, -)${option}\\b`).test(man), `--${option} in the manual page`);
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
