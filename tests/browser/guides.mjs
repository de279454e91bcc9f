// What a reader of docs/guide does: copies the files of a page, types its commands, starts its programs, presses its buttons.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const GUIDES = fileURLToPath(new URL('../../docs/guide/', import.meta.url));
const MODULES = fileURLToPath(new URL('./node_modules/', import.meta.url));
/** The issuer of every page, and the instance that its commands speak of. */
const ISSUER = 'http://127.0.0.1:8080';
const DATA_DIR = ['--data-dir', 'vouchsafe-dev'];
const SPEAK_LIMIT_MS = 20_000;
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json' };

/** An address at which nobody listens now. */
export async function freeOrigin() {
  const socket = net.createServer();
  await new Promise((done, failed) => socket.once('error', failed).listen(0, '127.0.0.1', done));
  const { port } = socket.address();
  await new Promise((done) => socket.close(done));
  return `http://127.0.0.1:${port}`;
}

/** The words of a command, without its comment. */
function words(line) {
  const found = [...line.matchAll(/"([^"]*)"|'([^']*)'|#.*|(\S+)/g)].map(([, double, single, bare]) => double ?? single ?? bare);
  return found.filter((word) => word !== undefined);
}

/** What stands between fences: {language, title, body}. */
const fenced = (text) => [...text.matchAll(/^```(\w+)(?: title=(\S+))?\n(.*?)^```$/gms)].map(([, language, title, body]) =>
  ({ language, title, body }));

const lines = (blocks) => blocks.filter(({ language }) => language === 'sh')
  .flatMap(({ body }) => body.replaceAll('\\\n', ' ').split('\n')).map((line) => line.trim()).filter(Boolean);

/** The words of the commands of `vouchsafe`; those that speak of the instance of `dev` do so by the helper that runs them. */
function commandsIn(blocks) {
  return lines(blocks).filter((line) => line.startsWith('vouchsafe ')).map((line) => {
    const [, ...said] = words(line);
    const at = said.indexOf(DATA_DIR[0]);
    if (at >= 0) assert.deepEqual(said.splice(at, 2), DATA_DIR);
    return said;
  });
}

/**
 * A page of docs/guide, for a reader whose issuer is `vs` and for whom `places` of the page lie elsewhere ({here: there}).
 * Its files lie in a folder of their own, from which imports find what the tests have installed.
 */
export async function openGuide(vs, name, places = {}) {
  let text = await readFile(path.join(GUIDES, name), 'utf8');
  for (const [here, there] of Object.entries({ [ISSUER]: vs.issuer, ...places })) {
    assert.ok(text.includes(here), `${name} has no ${here}`);
    text = text.replaceAll(here, there);
  }
  const blocks = fenced(text);
  const files = blocks.filter(({ title }) => title);
  const left = commandsIn(blocks);
  const programs = lines(blocks).flatMap((line) => line.match(/\bnode (\S+\.mjs)/)?.[1] ?? []);
  for (const program of programs) assert.ok(files.some(({ title }) => title === program), `${name} has no ${program}`);
  const folder = await mkdtemp(path.join(MODULES, '.guide-'));
  await Promise.all(files.map(({ title, body }) => writeFile(path.join(folder, title), body)));
  const running = [];

  return {
    folder,
    /** A passage that the page has, whatever lines it is broken into. */
    says(passage) {
      assert.ok(text.replace(/\s+/g, ' ').includes(passage), `${name} does not say: ${passage}`);
      return passage;
    },
    /** Runs the first command of the page that begins with these words and was not run before; `instead` replaces words of it. */
    async run(beginning, instead = {}) {
      const at = left.findIndex((said) => said.join(' ').startsWith(beginning));
      assert.ok(at >= 0, `${name} has no command ${beginning} that is left`);
      const [said] = left.splice(at, 1);
      return vs.cli(...said.map((word) => instead[word] ?? word));
    },
    /** Starts a program of the page. */
    start(title, { args = [], env = {} } = {}) {
      assert.ok(files.some((file) => file.title === title), `${name} has no ${title}`);
      const program = launched(folder, title, args, env);
      running.push(program);
      return program;
    },
    /** Every command of the page was run. */
    finished: () => assert.deepEqual(left, [], `${name} has commands that nobody ran`),
    async close() {
      await Promise.all(running.map((program) => program.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A program under way: `line(pattern)` waits until it prints something, `end()` until it is through. */
function launched(folder, title, args, env) {
  const child = spawn(process.execPath, [title, ...args], {
    cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  let complaints = '';
  let changed = () => {};
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    printed += chunk;
    changed();
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => { complaints += chunk; });
  const ended = new Promise((done) => child.once('close', (code) => {
    done(code);
    changed();
  }));
  const told = () => `${title} printed:\n${printed}${complaints}`;
  const within = (promise, what) => {
    let late;
    const limit = new Promise((_, failed) => {
      late = setTimeout(() => failed(new Error(`${what} within ${SPEAK_LIMIT_MS} ms\n${told()}`)), SPEAK_LIMIT_MS);
    });
    return Promise.race([promise, limit]).finally(() => clearTimeout(late));
  };
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  return {
    printed: () => printed,
    complaints: () => complaints,
    /** What a pattern finds in the output, from the first line that has it. */
    line: (pattern) => within(new Promise((done, failed) => {
      changed = () => {
        const found = printed.match(pattern);
        if (found) done(found);
        else if (isOver()) failed(new Error(`no ${pattern}\n${told()}`));
      };
      changed();
    }), `no ${pattern}`),
    /** {code, printed}. */
    end: async () => ({ code: await within(ended, 'no end'), printed }),
    async stop() {
      if (!isOver()) child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Serves a folder, and below it what the tests have installed, as any server of files does. */
export async function serveFiles(folder, port) {
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://127.0.0.1');
    const wanted = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
    const file = wanted.startsWith('/node_modules/') ? path.join(MODULES, wanted.slice('/node_modules/'.length)) : path.join(folder, wanted);
    try {
      const body = await readFile(file);
      response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'text/plain' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done, failed) => server.once('error', failed).listen(port, '127.0.0.1', done));
  return {
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
