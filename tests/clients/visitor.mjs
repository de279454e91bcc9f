// A person without a browser: keeps cookies, follows redirects within the issuer, and posts the forms of its pages.

import { get, limit } from './support.mjs';

const REDIRECTS = 10;

const ENTITIES = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
const unescaped = (text) => text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(lt|gt|quot|apos|amp));/gi, (_, decimal, hex, name) =>
  (name ? ENTITIES[name.toLowerCase()] : String.fromCodePoint(decimal ? Number(decimal) : Number.parseInt(hex, 16))));

/** The attributes of every tag of this name; values stand in double quotes, or are missing. */
function tags(html, name) {
  return [...html.matchAll(new RegExp(`<${name}((?:\\s+[a-z-]+(?:="[^"]*")?)*)\\s*/?>`, 'gi'))].map(([, attributes]) =>
    Object.fromEntries([...attributes.matchAll(/([a-z-]+)(?:="([^"]*)")?/gi)].map(([, key, value]) => [key, unescaped(value ?? '')])));
}

/** What a page shows: {url, status, html, headers, text, forms}. */
function asPage(url, response, html) {
  const forms = [...html.matchAll(/<form\b[^>]*>.*?<\/form>/gs)].map(([form]) => {
    const inputs = tags(form, 'input');
    return {
      action: new URL(tags(form, 'form')[0].action ?? '', url).href,
      hidden: Object.fromEntries(inputs.filter(({ type }) => type === 'hidden').map((input) => [input.name, input.value ?? ''])),
      names: new Set([...inputs, ...tags(form, 'button')].map((field) => field.name)),
    };
  });
  const text = unescaped(html.replace(/<[^>]*>/g, ' ')).replace(/\s+/g, ' ').trim();
  return { url, status: response.status, html, headers: response.headers, text, forms };
}

/**
 * `open(address)` and `submit(page, fields)` answer the page that one ends at, or {away: URL} for another site, which is
 * not asked; `submit` takes the form that has every one of the fields, and sends what it hides along.
 */
export function visitor(issuer) {
  const home = new URL(issuer).origin;
  const cookies = new Map();
  const set = [];

  async function follow(url, init) {
    for (let hop = 0; hop < REDIRECTS; hop += 1) {
      const headers = { ...init?.headers, 'accept-language': 'en' };
      if (cookies.size) headers.cookie = [...cookies].map((pair) => pair.join('=')).join('; ');
      const response = await fetch(url, { ...init, headers, redirect: 'manual', signal: limit() });
      for (const line of response.headers.getSetCookie()) {
        set.push(line);
        const [name, value] = line.split(';')[0].split(/=(.*)/s);
        if (value) cookies.set(name, value);
        else cookies.delete(name);
      }
      const location = response.headers.get('location');
      if (location === null) return asPage(url, response, await response.text());
      await response.body?.cancel();
      if (init?.method === 'POST' && response.status !== 303) throw new Error(`a POST to ${url} is redirected by ${response.status}`);
      url = new URL(location, url).href;
      if (new URL(url).origin !== home) return { away: new URL(url) };
      init = undefined;
    }
    throw new Error(`redirects without an end, at ${url}`);
  }

  return {
    /** Every Set-Cookie so far. */
    set,
    cookies,
    open: (address) => follow(String(address)),
    submit(page, fields) {
      const wanted = Object.keys(fields);
      const form = page.forms?.find(({ names }) => wanted.every((name) => names.has(name)));
      if (!form) throw new Error(`no form with ${wanted.join(', ')} at ${page.url ?? page.away}\n${page.text ?? ''}`);
      return follow(form.action, {
        method: 'POST',
        body: new URLSearchParams({ ...form.hidden, ...fields }),
        headers: { origin: home },
      });
    },
  };
}

/**
 * Opens an address, signs in where that is asked for, decides where that is asked for, and answers the address at the
 * other site to which that leads.
 */
export async function back(person, address, { username, password }, decision = 'allow') {
  let page = await person.open(address);
  if (page.url && new URL(page.url).pathname.endsWith('/sign-in')) page = await person.submit(page, { username, password });
  if (page.url && new URL(page.url).pathname.endsWith('/consent')) page = await person.submit(page, { decision });
  if (!page.away) throw new Error(`no way back, but ${page.status} at ${page.url}\n${page.text}`);
  return page.away;
}

/** The discovery document. */
export const metadataOf = async (vs) => (await get(`${vs.issuer}/.well-known/openid-configuration`)).json();
