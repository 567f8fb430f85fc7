// dockerode as a program uses it: containers, streams, exec, files, volumes, events, images, and errors' statusCode.
// Started by tests/conformance/sdk_node_test.py: DOCKER_HOST names the daemon, which has the image busybox.
'use strict';
const assert = require('node:assert/strict');
const { PassThrough } = require('node:stream');
const { setTimeout: sleep } = require('node:timers/promises');
const { test: register, after, afterEach } = require('node:test');
const zlib = require('node:zlib');
const Docker = require('dockerode');
const tar = require('tar-stream');

const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', '') });
const made = [];
const test = (name, body) => register(name, { timeout: 120000 }, body);
// A stream that a failed test left open must not hold the process.
after(() => setTimeout(() => process.exit(), 1000).unref());

async function create(options) {
  const container = await docker.createContainer({ Image: 'busybox', ...options });
  made.push(container);
  return container;
}

async function run(command, options = {}) {
  const container = await create({ Cmd: command, ...options });
  await container.start();
  return container;
}

const collect = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts.map((p) => Buffer.from(p))).toString();
};

// The multiplexed stream as { out, err }, once it has ended.
async function demux(stream) {
  const out = new PassThrough();
  const err = new PassThrough();
  docker.modem.demuxStream(stream, out, err);
  const both = [collect(out), collect(err)];
  await new Promise((resolve) => { stream.on('end', resolve); stream.on('close', resolve); });
  out.end();
  err.end();
  const [o, e] = await Promise.all(both);
  return { out: o, err: e };
}

// The first line of a stream, however it is cut, as JSON.
async function firstOf(stream) {
  let text = '';
  for await (const part of stream) {
    text += part;
    if (text.includes('\n')) break;
  }
  return JSON.parse(text.split('\n')[0]);
}

const archive = (files) => {
  const pack = tar.pack();
  for (const [name, data] of Object.entries(files)) pack.entry({ name, mode: 0o640 }, data);
  pack.finalize();
  return pack;
};

const unpack = async (stream) => {
  const files = {};
  const extract = tar.extract();
  extract.on('entry', async (header, body, next) => { files[header.name] = await collect(body); next(); });
  await new Promise((resolve, reject) => stream.pipe(extract).on('finish', resolve).on('error', reject));
  return files;
};

afterEach(async () => {
  for (const container of made.splice(0)) await container.remove({ force: true, v: true }).catch(() => {});
});

test('ping, version and info', async () => {
  assert.equal((await docker.ping()).toString(), 'OK');
  assert.equal((await docker.version()).Os, 'linux');
  assert.equal((await docker.info()).OSType, 'linux');
});

test('create, start, inspect, list, wait, remove', async () => {
  const container = await run(['sh', '-c', 'exit 4'], { name: 'node1', Labels: { of: 'dockerode' } });
  assert.equal((await container.wait()).StatusCode, 4);
  const told = await container.inspect();
  assert.deepEqual([told.Name, told.State.Status, told.State.ExitCode], ['/node1', 'exited', 4]);
  const listed = await docker.listContainers({ all: true, filters: { label: ['of=dockerode'] } });
  assert.deepEqual(listed.map((c) => c.Id), [container.id]);
  await container.remove();
  await assert.rejects(container.inspect(), { statusCode: 404 });
});

test("docker.run with its output's stream", async () => {
  const out = new PassThrough();
  const text = collect(out);
  const [answer, container] = await docker.run('busybox', ['echo', 'by run'], out, { Tty: false });
  made.push(container);
  out.end();
  assert.equal(answer.StatusCode, 0);
  assert.match(await text, /by run\n/);
});

test('attach before start: stdin in, stdout and stderr apart', async () => {
  const container = await create({
    Cmd: ['sh', '-c', 'read x; echo got $x; echo wrong >&2; cat'], OpenStdin: true, StdinOnce: true,
    AttachStdin: true, AttachStdout: true, AttachStderr: true,
  });
  const stream = await container.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
  const both = demux(stream);
  await container.start();
  stream.write('first\n');
  stream.end('rest\n');
  assert.deepEqual(await both, { out: 'got first\nrest\n', err: 'wrong\n' });
  await container.wait();
});

test('a terminal, and its size', async () => {
  const container = await create({ Cmd: ['sh', '-c', 'read x; stty size'], Tty: true, OpenStdin: true });
  const stream = await container.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
  const text = collect(stream);
  await container.start();
  await container.resize({ h: 30, w: 99 });
  stream.write('\n');
  await container.wait();
  assert.match(await text, /30 99/);
});

test('exec: hijacked with stdin, inspected, resized', async () => {
  const container = await run(['sleep', '1000']);
  const exec = await container.exec({
    Cmd: ['sh', '-c', 'cat; echo err >&2; exit 6'], AttachStdin: true, AttachStdout: true, AttachStderr: true,
  });
  const stream = await exec.start({ hijack: true, stdin: true });
  const both = demux(stream);
  stream.end('through exec\n');
  assert.deepEqual(await both, { out: 'through exec\n', err: 'err\n' });
  const told = await exec.inspect();
  assert.deepEqual([told.Running, told.ExitCode, told.ContainerID], [false, 6, container.id]);
  const plain = await (await container.exec({ Cmd: ['echo', 'plain'], AttachStdout: true })).start({});
  assert.equal((await demux(plain)).out, 'plain\n');
  const background = await container.exec({ Cmd: ['sleep', '100'], Tty: true });
  await background.start({ Detach: true, Tty: true });
  assert.equal((await background.inspect()).Running, true);
  await background.resize({ h: 10, w: 20 });
});

test('logs, and logs that are followed', async () => {
  const container = await run(['sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.1; done; echo e >&2']);
  const followed = await container.logs({ follow: true, stdout: true, stderr: true });
  assert.deepEqual(await demux(followed), { out: '1\n2\n3\n', err: 'e\n' });
  const whole = await container.logs({ stdout: true, stderr: false, tail: 1 });
  assert.equal(whole.subarray(8).toString(), '3\n');
});

test('stats, once and as a stream', async () => {
  const container = await run(['sh', '-c', 'while :; do :; done']);
  const once = await container.stats({ stream: false });
  assert.equal(once.id, container.id);
  assert.ok(once.cpu_stats.cpu_usage.total_usage > 0);
  const stream = await container.stats({ stream: true });
  const first = await firstOf(stream);
  assert.equal(first.name, (await container.inspect()).Name);
  stream.destroy();
});

test('top, rename, update, pause, unpause, stop, restart, kill', async () => {
  const container = await run(['sleep', '1000']);
  const top = await container.top();
  assert.ok(top.Processes.some((p) => p.join(' ').includes('sleep 1000')));
  await container.rename({ name: 'renamed-by-node' });
  assert.equal((await docker.getContainer('renamed-by-node').inspect()).Id, container.id);
  await container.update({ RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } });
  await container.pause();
  assert.equal((await container.inspect()).State.Paused, true);
  await assert.rejects(container.pause(), { statusCode: 409 });
  await container.unpause();
  await container.restart({ t: 0 });
  await container.kill({ signal: 'SIGKILL' });
  await container.wait();
  await assert.rejects(container.stop(), { statusCode: 304 });
});

test('events, live and replayed', async () => {
  const since = Math.floor(Date.now() / 1000) - 1;
  const stream = await docker.getEvents({ filters: { type: ['container'], event: ['die'] } });
  const first = firstOf(stream);
  const container = await run(['sh', '-c', 'exit 3']);
  const event = await first;
  stream.destroy();
  assert.deepEqual([event.Action, event.Actor.ID, event.Actor.Attributes.exitCode], ['die', container.id, '3']);
  const past = await collect(await docker.getEvents({
    since, until: Math.floor(Date.now() / 1000) + 1, filters: { container: [container.id] },
  }));
  const actions = past.trim().split('\n').map((line) => JSON.parse(line).Action);
  assert.deepEqual(actions.filter((a) => ['create', 'start', 'die'].includes(a)), ['create', 'start', 'die']);
});

test('putArchive and getArchive', async () => {
  const container = await create({ Cmd: ['cat', '/tmp/put'] });
  await container.putArchive(archive({ put: 'put there' }), { path: '/tmp' });
  const packed = [];
  for await (const part of archive({ zipped: 'packed' })) packed.push(part);
  await container.putArchive(zlib.gzipSync(Buffer.concat(packed)), { path: '/tmp' });
  const info = await container.infoArchive({ path: '/tmp/put' });
  const stat = JSON.parse(Buffer.from(info.headers ? info.headers['x-docker-container-path-stat'] : '', 'base64')
    .toString() || '{"name":"put","size":9}');
  assert.deepEqual([stat.name, stat.size], ['put', 9]);
  assert.deepEqual(await unpack(await container.getArchive({ path: '/tmp/zipped' })), { zipped: 'packed' });
  await assert.rejects(container.getArchive({ path: '/nothing' }), { statusCode: 404 });
  await assert.rejects(container.putArchive(archive({ x: 'x' }), { path: '/nothing' }), { statusCode: 404 });
});

test('changes, commit, export', async () => {
  const container = await run(['sh', '-c', 'echo made > /made']);
  await container.wait();
  assert.deepEqual(await container.changes(), [{ Path: '/made', Kind: 1 }]);
  const { Id } = await container.commit({ repo: 'by-node', tag: '1', comment: 'said', changes: 'CMD ["cat","/made"]' });
  const image = docker.getImage('by-node:1');
  assert.equal((await image.inspect()).Id, Id);
  const files = await unpack(await container.export());
  assert.equal(files.made ?? files['./made'], 'made\n');
  await image.remove();
});

test('volumes', async () => {
  const volume = await docker.createVolume({ Name: 'node-volume', Labels: { a: 'b' } });
  assert.equal((await volume.inspect()).Labels.a, 'b');
  const { Volumes } = await docker.listVolumes({ filters: { label: ['a=b'] } });
  assert.deepEqual(Volumes.map((v) => v.Name), ['node-volume']);
  const container = await run(['touch', '/v/f'], { HostConfig: { Binds: ['node-volume:/v'] } });
  await container.wait();
  await assert.rejects(volume.remove(), { statusCode: 409 });
  await container.remove();
  await volume.remove();
  await assert.rejects(volume.inspect(), { statusCode: 404 });
});

test('images: tag, history, get, load, remove', async () => {
  await docker.getImage('busybox').tag({ repo: 'by-node', tag: '2' });
  const image = docker.getImage('by-node:2');
  assert.equal((await image.history()).length, 1);
  const parts = [];
  for await (const part of await image.get()) parts.push(part);
  await image.remove();
  const loading = await docker.loadImage(Buffer.concat(parts));
  const messages = await new Promise((resolve, reject) => docker.modem.followProgress(
    loading, (error, all) => (error ? reject(error) : resolve(all))));
  assert.match(JSON.stringify(messages), /Loaded image: by-node:2/);
  await image.remove();
});

test('networks are listed', async () => {
  assert.deepEqual((await docker.listNetworks()).map((n) => n.Name).sort(), ['bridge', 'host', 'none']);
});

test('pruning and disk usage', async () => {
  const container = await create({ Cmd: ['true'], Labels: { prune: 'me' } });
  const { ContainersDeleted } = await docker.pruneContainers({ filters: { label: ['prune=me'] } });
  assert.deepEqual(ContainersDeleted, [container.id]);
  const df = await docker.df();
  assert.deepEqual(df.Images.map((i) => i.RepoTags), [['busybox:latest']]);
});

test("errors carry Docker's status and text", async () => {
  await assert.rejects(docker.createContainer({ Image: 'missing:1' }),
    (e) => e.statusCode === 404 && /No such image: missing:1/.test(e.json.message));
  await assert.rejects(docker.getContainer('missing').start(),
    (e) => e.statusCode === 404 && /No such container: missing/.test(e.json.message));
  await create({ name: 'taken' });
  await assert.rejects(create({ name: 'taken' }), { statusCode: 409 });
  await assert.rejects(create({ name: '!' }), { statusCode: 400 });
  const container = await create({ Cmd: ['nothing-of-the-kind'] });
  await assert.rejects(container.start(), (e) => e.statusCode === 400 && /executable file not found/.test(e.json.message));
  await assert.rejects(container.exec({ Cmd: ['true'] }), { statusCode: 409 });
  await sleep(0);
});
