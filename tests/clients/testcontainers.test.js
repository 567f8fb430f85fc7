// testcontainers as a test suite uses it. Started by tests/conformance/sdk_node_test.py, once without a reaper and once
// with one (RYUK_CONTAINER_IMAGE): then the last container is left to it on purpose.
'use strict';
const assert = require('node:assert/strict');
const { test: register, after } = require('node:test');
const { GenericContainer, Wait } = require('testcontainers');

const test = (name, body) => register(name, { timeout: 180000 }, body);
after(() => setTimeout(() => process.exit(), 1000).unref());

const server = ['sh', '-c', "echo serving; while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nserved' | nc -l -p 8000; done"];
// The first line that matches. The stream goes on for as long as the container does.
const logged = async (container, pattern) => {
  const stream = await container.logs();
  const awake = setInterval(() => {}, 1000);  // testcontainers lets such a stream keep no process alive
  await new Promise((resolve) => stream.on('data', (line) => pattern.test(line) && resolve()));
  clearInterval(awake);
  stream.destroy();
};

test('an exposed port that answers, waited for by the port', async () => {
  const container = await new GenericContainer('busybox').withCommand(server).withExposedPorts(8000)
    .withWaitStrategy(Wait.forListeningPorts()).start();
  try {
    const answer = async () => {
      for (let i = 0; ; ++i) {
        try {
          return await (await fetch(`http://${container.getHost()}:${container.getMappedPort(8000)}/`)).text();
        } catch (e) {
          if (i > 200) throw e;  // the wait's own connection took nc's turn
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };
    assert.equal(await answer(), 'served');
  } finally {
    await container.stop();
  }
});

test('waited for by the log; labels, environment, exec, logs', async () => {
  const container = await new GenericContainer('busybox').withCommand(['sh', '-c', 'echo $GREETING; sleep 1000'])
    .withEnvironment({ GREETING: 'ready now' }).withLabels({ suite: 'coracle' }).withName('tc-named')
    .withWaitStrategy(Wait.forLogMessage(/ready now/)).start();
  try {
    assert.equal(container.getName(), '/tc-named');
    assert.equal(container.getLabels().suite, 'coracle');
    const told = await container.exec(['sh', '-c', 'echo out; echo err >&2; exit 3']);
    assert.deepEqual([told.exitCode, told.output.includes('out'), told.output.includes('err')], [3, true, true]);
    const other = await container.exec(['sh', '-c', 'pwd; id -u; echo $A'],
      { workingDir: '/tmp', user: 'web', env: { A: 'b' } });
    assert.equal(other.output, '/tmp\n33\nb\n');
    await logged(container, /ready now/);
  } finally {
    await container.stop();
  }
});

test('files are copied in before the start and while it runs, and out', async () => {
  const container = await new GenericContainer('busybox').withCommand(['sh', '-c', 'cat /etc/given; sleep 1000'])
    .withCopyContentToContainer([{ content: 'given before\n', target: '/etc/given', mode: 0o600 }])
    .withCopyFilesToContainer([{ source: __filename, target: '/copied.js' }])
    .withWaitStrategy(Wait.forLogMessage('given before')).start();
  try {
    assert.match((await container.exec(['head', '-n', '1', '/copied.js'])).output, /testcontainers as a test suite/);
    await container.copyContentToContainer([{ content: 'later', target: '/later' }]);
    assert.equal((await container.exec(['cat', '/later'])).output, 'later');
    const parts = [];
    for await (const part of await container.copyArchiveFromContainer('/later')) parts.push(part);
    assert.match(Buffer.concat(parts).toString(), /^later\0/);
  } finally {
    await container.stop();
  }
});

test('waited for by a command, by health, and for the end', async () => {
  const commanded = await new GenericContainer('busybox').withCommand(['sh', '-c', 'sleep 0.3; touch /ok; sleep 1000'])
    .withWaitStrategy(Wait.forSuccessfulCommand('test -e /ok')).start();
  await commanded.stop();
  const healthy = await new GenericContainer('busybox').withCommand(['sleep', '1000'])
    .withHealthCheck({ test: ['CMD-SHELL', 'true'], interval: 300, timeout: 60000, retries: 5, startPeriod: 100 })
    .withWaitStrategy(Wait.forHealthCheck()).start();
  await healthy.stop();
  const once = await new GenericContainer('busybox').withCommand(['sh', '-c', 'exit 0'])
    .withWaitStrategy(Wait.forOneShotStartup()).start();
  await once.stop();
});

test('limits, tmpfs, user, working folder, restart, commit', async () => {
  const container = await new GenericContainer('busybox').withCommand(['sleep', '1000']).withTmpFs({ '/t': 'rw,size=1m' })
    .withUser('web').withWorkingDir('/tmp').withResourcesQuota({ memory: 0.125, cpu: 1 }).withPrivilegedMode()
    .withUlimits({ nofile: { hard: 200, soft: 100 } }).start();
  try {
    assert.equal((await container.exec(['sh', '-c', 'pwd; id -u; ulimit -n'])).output, '/tmp\n33\n100\n');
    await container.restart({ timeout: 1 });
    assert.equal((await container.exec(['echo', 'again'])).output, 'again\n');
    const image = await container.commit({ repo: 'tc-committed', tag: '1', comment: 'c', author: 'a', pause: true });
    assert.match(image, /^(sha256:)?[0-9a-f]+$/);
  } finally {
    await container.stop();
  }
});

test('a start that fails says why, and a startup that takes too long gives up', async () => {
  await assert.rejects(new GenericContainer('busybox').withCommand(['nothing-of-the-kind']).start(),
    /executable file not found/);
  await assert.rejects(new GenericContainer('busybox').withCommand(['sleep', '1000']).withExposedPorts(1)
    .withStartupTimeout(1000).start(), /not bound after 1000ms/);
});

if (process.env.RYUK_CONTAINER_IMAGE) {
  test('what nobody stops is left to the reaper', async () => {
    await new GenericContainer('busybox').withCommand(['sleep', '1000']).withName('tc-left').start();
  });
}
