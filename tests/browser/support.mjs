// What the tests in a browser share: Chromium, people, an application to sign in to, and what no page may ever do.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { sleep } from '../clients/support.mjs';

/** A running server notices what the command line changed within one second. */
const NOTICE_MS = 1_500;
/** The upper bound of whatever a page is asked to do. */
const ACTION_LIMIT_MS = 10_000;

export const settled = () => sleep(NOTICE_MS);

export const launch = () => chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
});

/** What a context complains of: errors and broken rules of a page. A refused navigation is an error to Chromium alone. */
function watch(context) {
  const said = [];
  const refused = new Set();
  context.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' || /Content Security Policy|Refused to/.test(text)) said.push({ text, url: message.location().url });
  });
  context.on('weberror', (error) => said.push({ text: error.error().message, url: error.page()?.url() }));
  context.on('response', (response) => {
    if (response.status() >= 400 && response.request().isNavigationRequest()) refused.add(response.url());
  });
  return () => said.filter(({ text, url }) => !(text.startsWith('Failed to load resource') && refused.has(url)));
}

/**
 * Runs `body(page, context)` in a window with cookies of its own, which must stay without an error and without a broken
 * rule; `options` are those of Playwright's contexts.
 */
export async function inWindow(browser, options, body) {
  const context = await browser.newContext({ reducedMotion: 'reduce', locale: 'en-GB', ...options });
  context.setDefaultTimeout(ACTION_LIMIT_MS);
  const complaints = watch(context);
  try {
    await body(await context.newPage(), context);
  } finally {
    await context.close();
  }
  assert.deepEqual(complaints(), []);
}

/** Accounts made by the command line: {name: {username, password}}. */
export async function enrol(vs, ...names) {
  const folder = await mkdtemp(path.join(tmpdir(), 'vouchsafe-people-'));
  const people = {};
  try {
    for (const username of names) {
      const password = randomBytes(12).toString('base64url');
      const file = path.join(folder, username);
      await writeFile(file, password, { mode: 0o600 });
      await vs.cli('user', 'create', username, '--email', `${username}@example.org`, '--password-file', file);
      people[username] = { username, password };
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return people;
}

/** Does something and waits for the page that follows. */
export async function follow(page, action) {
  const next = page.waitForEvent('framenavigated', (frame) => frame === page.mainFrame());
  await Promise.all([next, action()]);
  await page.waitForLoadState();
}

/** The form that has a field, and what sends it. */
const formWith = (page, field) => page.locator('form', { has: page.locator(`[name="${field}"]`) });
export const sender = (page, field) => formWith(page, field).locator('button:not([type="button"])').first();

/** Fills in fields and sends their form. */
export async function send(page, fields) {
  for (const [name, value] of Object.entries(fields)) await page.locator(`[name="${name}"]`).fill(value);
  await follow(page, () => sender(page, Object.keys(fields)[0]).click());
}

/** Presses the button that means this. */
export const choose = (page, name, value) => follow(page, () => page.locator(`button[name="${name}"][value="${value}"]`).click());
export const allow = (page) => choose(page, 'decision', 'allow');
export const deny = (page) => choose(page, 'decision', 'deny');

/** Signs in at a page that asks for it, which must be the present one. */
export async function signIn(page, { username, password }) {
  assert.equal(where(page), '/sign-in');
  await send(page, { username, password });
}

export const where = (page) => new URL(page.url()).pathname;

/** Where the focus is: whether inside an element that this selector finds. */
export const focusIn = (page, selector) => page.evaluate((wanted) => document.activeElement?.closest(wanted) !== null, selector);

/** The refusal that a page announces, which has the focus, or the field that it speaks of. */
export async function announced(page) {
  const alert = page.locator('[role="alert"]');
  assert.equal(await alert.count(), 1, `no alert at ${page.url()}`);
  assert.ok(await focusIn(page, '[role="alert"], [aria-invalid="true"]'), 'the focus is somewhere else');
  const text = (await alert.innerText()).trim();
  assert.ok(text, 'an alert without words');
  return text;
}
