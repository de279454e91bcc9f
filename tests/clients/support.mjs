// Starts the real binary and talks to it. Everything stays on loopback; nothing here is skipped when it is missing.

import { execFile, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const START_LIMIT_MS = 20_000;
const COMMAND_LIMIT_MS = 15_000;
const REQUEST_LIMIT_MS = 5_000;
/** A running server notices what the command line changed within one second. */
const NOTICE_MS = 1_500;

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
/** The upper bound of one request; also what the libraries take as `signal`. */
export const limit = () => AbortSignal.timeout(REQUEST_LIMIT_MS);

function binary() {
  const given = process.env.VOUCHSAFE_BIN;
  if (!given) {
    throw new Error('VOUCHSAFE_BIN is not set. It must name the built binary, for example VOUCHSAFE_BIN=target/release/vouchsafe; `cargo xtask test` sets it.');
  }
  const file = path.resolve(given);
  try {
    accessSync(file, constants.X_OK);
  } catch (cause) {
    throw new Error(`VOUCHSAFE_BIN names ${file}, which is not an executable file. Build it first.`, { cause });
  }
  return file;
}

/** The caller's own VOUCHSAFE_* settings must not reach the instance under test. */
function cleanEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VOUCHSAFE_')));
}

/** Two ports that are free now, held at once so that they differ. */
async function freePorts() {
  const sockets = await Promise.all([0, 1].map(() => new Promise((done, failed) => {
    const socket = net.createServer().once('error', failed);
    socket.listen(0, '127.0.0.1', () => done(socket));
  })));
  const ports = sockets.map((socket) => socket.address().port);
  await Promise.all(sockets.map((socket) => new Promise((done) => socket.close(done))));
  return ports;
}

/** A `vouchsafe dev` of its own: the members of its JSON line, `cli(...)`, what `operator` makes, `stop()`. */
export async function start() {
  const bin = binary();
  for (let attempt = 1; ; attempt += 1) {
    const dataDir = await mkdtemp(path.join(tmpdir(), 'vouchsafe-clients-'));
    try {
      return await startOnce(bin, dataDir);
    } catch (error) {
      await rm(dataDir, { recursive: true, force: true });
      // Another process may have taken the port between our look and the listen.
      if (attempt === 3 || !/in use/i.test(error.message)) throw error;
    }
  }
}

async function startOnce(bin, dataDir) {
  const [port, managementPort] = await freePorts();
  const child = spawn(bin, [
    'dev', '--data-dir', dataDir,
    '--listen', `127.0.0.1:${port}`, '--management-listen', `127.0.0.1:${managementPort}`, '-o', 'json',
  ], { cwd: dataDir, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });

  let log = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => { log = (log + chunk).slice(-8_000); });
  const exited = new Promise((done) => {
    child.once('exit', (code, signal) => done(signal ?? `status ${code}`));
    child.once('error', (error) => done(error.message));
  });
  const killAtExit = () => child.kill('SIGKILL');
  process.once('exit', killAtExit);

  const stop = async () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await exited;
      clearTimeout(late);
    }
    process.removeListener('exit', killAtExit);
    await rm(dataDir, { recursive: true, force: true });
  };

  try {
    const line = await firstLine(child, exited, () => log);
    const printed = parseLine(line);
    const cli = (...args) => run(bin, dataDir, args);
    return { ...printed, cli, ...operator(cli, dataDir), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function firstLine(child, exited, log) {
  return new Promise((done, failed) => {
    let seen = '';
    const late = setTimeout(() => failed(new Error(`vouchsafe dev printed no line within ${START_LIMIT_MS} ms\n${log()}`)), START_LIMIT_MS);
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      seen += chunk;
      const end = seen.indexOf('\n');
      if (end < 0) return;
      clearTimeout(late);
      child.stdout.removeAllListeners('data').resume();
      done(seen.slice(0, end));
    });
    exited.then((how) => {
      clearTimeout(late);
      failed(new Error(`vouchsafe dev ended (${how}) before its line\n${log()}`));
    });
  });
}

function parseLine(line) {
  let printed;
  try {
    printed = JSON.parse(line);
  } catch (cause) {
    throw new Error(`the first line of \`vouchsafe dev -o json\` is not JSON: ${line}`, { cause });
  }
  for (const name of ['issuer', 'client_id', 'client_secret', 'username', 'password', 'scope', 'resource']) {
    if (typeof printed[name] !== 'string' || !printed[name]) {
      throw new Error(`the line of \`vouchsafe dev -o json\` lacks ${name}; it has ${Object.keys(printed).join(', ')}`);
    }
  }
  return printed;
}

/** Runs a command over the instance's data folder and answers its parsed JSON; a refusal is an Error with `status`. */
function run(bin, dataDir, args) {
  return new Promise((done, failed) => {
    execFile(bin, [...args, '--data-dir', dataDir, '-o', 'json'], {
      cwd: dataDir, env: cleanEnvironment(), timeout: COMMAND_LIMIT_MS, maxBuffer: 4 << 20,
    }, (error, stdout, stderr) => {
      const name = `vouchsafe ${args.slice(0, 2).join(' ')}`;
      if (error) {
        const status = typeof error.code === 'number' ? error.code : undefined;
        failed(Object.assign(new Error(`${name}: ${status === undefined ? error.message : `exit status ${status}`}\n${stderr}`), { status, stderr }));
        return;
      }
      try {
        done(stdout.trim() ? JSON.parse(stdout) : undefined);
      } catch (cause) {
        failed(new Error(`${name}: stdout is not one JSON value`, { cause }));
      }
    }).stdin.end();
  });
}

/**
 * `createResource(uri, scopes)` and `createClient({id, auth, grants, scope, resource, secret})`, which answers
 * {client_id, client_secret}; `secret` is imported instead of made. The commands run one after the other, in the order
 * of the calls; each promise ends when the running server has noticed. Start them early and await them where they are
 * needed: one that fails is an error only there.
 */
function operator(cli, dataDir) {
  let queue = Promise.resolve();
  const change = (action) => {
    const done = queue.then(action);
    queue = done.catch(() => {});
    const noticed = done.then(async (value) => {
      await sleep(NOTICE_MS);
      return value;
    });
    noticed.catch(() => {});
    return noticed;
  };
  return {
    createResource: (uri, scopes) => change(() => cli('resource', 'create', uri, ...scopes.flatMap((scope) => ['--scope', scope]))),
    createClient: ({ id, auth, grants, scope, resource, secret }) => change(async () => {
      const args = ['client', 'create', '--id', id, '--auth', auth, ...grants.flatMap((grant) => ['--grant', grant])];
      if (scope !== undefined) args.push('--scope', scope);
      if (resource !== undefined) args.push('--resource', resource);
      if (secret !== undefined) {
        const file = path.join(dataDir, `${id}.imported`);
        await writeFile(file, secret, { mode: 0o600 });
        args.push('--import-secret-file', file);
      }
      const made = await cli(...args);
      return { client_id: made.client_id, client_secret: secret ?? made.client_secret };
    }),
  };
}

const OF_THE_USER = new Set(['openid', 'profile', 'email', 'address', 'phone', 'offline_access']);
/** The demo scopes that a client may hold for itself: client_credentials never gets openid or offline_access. */
export const apiScope = (instance) => {
  const scopes = words(instance.scope).filter((scope) => !OF_THE_USER.has(scope));
  if (!scopes.length) throw new Error(`the demo scope "${instance.scope}" has none of the demo resource`);
  return scopes.join(' ');
};

/** A scope string as a sorted list. */
export const words = (scope) => (scope ?? '').split(' ').filter(Boolean).sort();

/** Basic credentials as Authlib and the MCP SDK send them: raw. `encode` is what oauth4webapi does. */
export const basic = ({ client_id: id, client_secret: secret }, encode = (text) => text) =>
  `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`;

/** A form POST. Values that are lists are repeated. */
export function post(url, form, headers = {}) {
  const body = new URLSearchParams(Object.entries(form).flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
  return fetch(url, { method: 'POST', body, headers, redirect: 'manual', signal: limit() });
}

export const get = (url, headers = {}) => fetch(url, { headers, redirect: 'manual', signal: limit() });

/** Header and claims of a JWT, unverified. */
export function peek(jwt) {
  const [header, claims] = jwt.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
  return { header, claims };
}

/** What makes two refresh tokens the same successor: its place in the family, not its bytes. */
export function place(refreshToken) {
  const { sid, seq, jti } = peek(refreshToken).claims;
  if (![sid, seq, jti].every((claim) => claim !== undefined)) throw new Error('a refresh token lacks sid, seq or jti');
  return { sid, seq, jti };
}

/**
 * The refusal behind an error of oauth4webapi or openid-client, which throw a challenge error whenever
 * the answer has WWW-Authenticate and a body error otherwise: {status, error, reason, schemes, headers}.
 */
export async function refusal(promise) {
  let thrown;
  try {
    await promise;
  } catch (error) {
    thrown = error;
  }
  if (!thrown) throw new Error('the request was granted, a refusal was expected');
  const known = ['OAUTH_RESPONSE_BODY_ERROR', 'OAUTH_WWW_AUTHENTICATE_CHALLENGE'];
  if (!known.includes(thrown.code)) throw new Error(`not an OAuth refusal: ${thrown.code ?? thrown.name}: ${thrown.message}`, { cause: thrown });
  const challenged = thrown.code === 'OAUTH_WWW_AUTHENTICATE_CHALLENGE';
  const body = challenged ? await thrown.response.json() : thrown.cause;
  return {
    status: thrown.status,
    error: body.error,
    reason: body.reason,
    schemes: challenged ? thrown.cause.map(({ scheme }) => scheme) : [],
    headers: thrown.response.headers,
  };
}
