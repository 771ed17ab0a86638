// SPDX-License-Identifier: BSD-2-Clause
// kubelet.js: as much of a kubelet as a device plugin sees, on the gRPC library that everybody uses. Like the real one
// it empties its folder when it starts, answers a registration at once and calls back on the endpoint that it was told.
'use strict';

const fs = require('fs');
const path = require('path');

// Waits until `test` gives something, or fails with what was waited for. The deadline is for machines that hang.
async function until(what, test, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const got = await test();
    if (got) return got;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

class Kubelet {
  // `answer(request)`: null, or the error that a registration gets.
  constructor(grpc, api, dir, answer = () => null) {
    Object.assign(this, { grpc, api, dir, answer });
    this.registrations = [];
    this.clients = [];
  }

  async start() {
    fs.mkdirSync(this.dir, { recursive: true });
    for (const name of fs.readdirSync(this.dir)) fs.rmSync(path.join(this.dir, name), { force: true });
    this.server = new this.grpc.Server();
    this.server.addService(this.api.Registration.service, {
      Register: (call, done) => {
        const error = this.answer(call.request, this.registrations.length);
        if (error === undefined) return; // Never answered.
        this.registrations.push(call.request);
        done(error, {});
      },
    });
    await new Promise((resolve, reject) =>
      this.server.bindAsync(`unix:${this.dir}/kubelet.sock`, this.grpc.ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve()));
    return this;
  }

  // As if it had been killed.
  stop() {
    for (const client of this.clients) {
      if (client.stream) client.stream.cancel();
      client.close();
    }
    this.clients = [];
    this.server.forceShutdown();
    fs.rmSync(`${this.dir}/kubelet.sock`, { force: true });
  }

  async registered(count = 1) {
    await until(`registration ${count}`, () => this.registrations.length >= count);
    return this.registrations[count - 1];
  }

  client(endpoint) {
    const client = new this.api.DevicePlugin(`unix:${this.dir}/${endpoint}`, this.grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    this.clients.push(client);
    return client;
  }
}

// A call with one answer.
function ask(client, method, request = {}) {
  return new Promise((resolve, reject) =>
    client[method](request, { deadline: Date.now() + 30000 }, (error, reply) => (error ? reject(error) : resolve(reply))));
}

// A call that fails: its error.
async function refused(client, method, request) {
  try {
    await ask(client, method, request);
  } catch (error) {
    return error;
  }
  throw new Error(`${method} was answered`);
}

// A ListAndWatch: the lists as they come.
function watch(client) {
  const stream = client.ListAndWatch({});
  client.stream = stream;
  const lists = [];
  const seen = { lists, stream, ended: false };
  stream.on('data', (list) => lists.push(list.devices));
  stream.on('error', () => (seen.ended = true));
  stream.on('end', () => (seen.ended = true));
  seen.last = (what, test) => until(what, () => lists.length && test(lists[lists.length - 1]) && lists[lists.length - 1]);
  return seen;
}

module.exports = { Kubelet, ask, refused, until, watch };
