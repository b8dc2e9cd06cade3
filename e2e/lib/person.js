// A person with a browser, as a script: keeps cookies, follows redirects, fills in forms, sends what a browser sends.
import { request } from './http.js';
import { parseForms } from './forms.js';

const MAX_HOPS = 20;

export class Person {
  /**
   * `user` signs in at the upstream; `decision` and `upstreamDecision` are 'allow' or 'deny'. `account` is what the
   * person's own button says on a page that has one for each account.
   */
  constructor({ user = 'ada', account, decision = 'allow', upstreamDecision = 'allow' } = {}) {
    Object.assign(this, { user, account, decision, upstreamDecision });
    this.jar = new Map(); // host → Map(name → {value, path, attributes}); ports share cookies, as in browsers
    this.trail = []; // every answer seen
  }

  /** A person whose browser holds the same cookies now, and its own from here on. */
  fork() {
    const copy = new Person(this);
    for (const [host, cookies] of this.jar) copy.jar.set(host, new Map(cookies));
    return copy;
  }

  cookies(url) {
    const { hostname, pathname } = new URL(url);
    return [...(this.jar.get(hostname) ?? [])]
      .filter(([, cookie]) => pathname === cookie.path || pathname.startsWith(cookie.path.endsWith('/') ? cookie.path : `${cookie.path}/`))
      .map(([name, cookie]) => ({ name, ...cookie }));
  }

  /** One exchange. `initiator` is the page that asked for it (undefined: typed, or opened by another program). */
  async fetch(method, url, { form, initiator, origin, chain = [url], headers = {} } = {}) {
    const cookies = this.cookies(url).map(({ name, value }) => `${name}=${value}`).join('; ');
    const answer = await request(method, url, {
      form,
      headers: {
        'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) e2e-person',
        Accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
        'Accept-Language': 'en',
        'Sec-Fetch-Site': site(initiator, chain),
        'Sec-Fetch-Mode': 'navigate',
        'Sec-Fetch-Dest': 'document',
        'Sec-Fetch-User': '?1',
        'Upgrade-Insecure-Requests': '1',
        ...(cookies && { Cookie: cookies }),
        ...(origin && { Origin: origin }),
        ...headers,
      },
    });
    this.keep(url, answer.headers['set-cookie']);
    this.trail.push({ method, ...answer });
    return answer;
  }

  keep(url, lines = []) {
    const { hostname, pathname } = new URL(url);
    const cookies = this.jar.get(hostname) ?? new Map();
    this.jar.set(hostname, cookies);
    for (const line of lines) {
      const [pair, ...attributes] = line.split(/;\s*/);
      const name = pair.slice(0, pair.indexOf('='));
      const get = (key) => attributes.find((one) => one.toLowerCase().startsWith(`${key}=`))?.slice(key.length + 1);
      const gone = get('max-age') === '0' || (get('expires') && Date.parse(get('expires')) <= Date.now());
      if (gone) cookies.delete(name);
      else {
        const path = get('path') ?? (pathname.slice(0, pathname.lastIndexOf('/')) || '/');
        cookies.set(name, { value: pair.slice(pair.indexOf('=') + 1), path, attributes: attributes.map((one) => one.toLowerCase()) });
      }
    }
  }

  /**
   * Goes where redirects lead, until a page or a URL for which `until` is true (that one is not visited).
   * @returns {Promise<{url: string, page?: object}>}
   */
  async go(url, { until = () => false, method = 'GET', form, initiator, origin } = {}) {
    const chain = [];
    let current = url;
    for (let hop = 0; hop < MAX_HOPS; hop += 1) {
      if (until(current)) return { url: current };
      chain.push(current);
      const answer = await this.fetch(method, current, { form, initiator, origin, chain: [...chain] });
      if (answer.status < 300 || answer.status >= 400 || !answer.headers.location) return { url: current, page: answer };
      if ([307, 308].includes(answer.status) && method === 'POST') throw new Error(`${answer.status} after a form: clients answer GET only`);
      [method, form, origin] = ['GET', undefined, undefined];
      current = new URL(answer.headers.location, current).href;
    }
    throw new Error(`more than ${MAX_HOPS} redirects: ${chain.slice(-3).join(' → ')}`);
  }

  /** Submits a form of a page like a browser does. */
  submit(at, form, fields, options = {}) {
    const initiator = at.url;
    const quiet = /(^|,)\s*no-referrer\s*$/i.test(at.page.headers['referrer-policy'] ?? '');
    const origin = options.origin ?? (quiet ? 'null' : new URL(initiator).origin); // Fetch, "append a request Origin header"
    const target = new URL(form.action || at.url, at.url).href;
    return this.go(target, { ...options, method: form.method, form: fields, initiator, origin });
  }

  /** What this person enters into a form: hidden fields as they are, the rest by who they are. */
  answer(form) {
    const fields = { ...form.hidden };
    if (form.names.has('consent_token')) fields.decision = this.decision;
    if (form.names.has('account')) fields.account = this.user;
    if (form.names.has('upstream_decision')) fields.upstream_decision = this.upstreamDecision;
    return fields;
  }

  /** The form of a page that this person fills in. */
  choose(page) {
    const forms = parseForms(page.text);
    if (forms.length < 2 || !this.account) return forms[0];
    return forms.find((form) => form.words.includes(this.account));
  }

  /** From an authorize URL through all pages to a URL for which `until` is true. */
  async login(authorizeUrl, until) {
    let at = await this.go(authorizeUrl, { until });
    for (let pages = 0; at.page; pages += 1) {
      const form = at.page.status === 200 ? this.choose(at.page) : undefined;
      if (!form || pages >= MAX_HOPS) {
        throw new Error(`stopped at ${at.url}: ${at.page.status} ${at.page.text.slice(0, 600)}`);
      }
      const { redirect_uri: redirectUri, state } = form.hidden;
      if (redirectUri && this.upstreamDecision === 'deny') {
        // A page of `emulate` has no Cancel; its query is where such a button leads (RFC 6749 §4.1.2.1).
        const query = new URLSearchParams({ error: 'access_denied', state });
        at = await this.go(`${redirectUri}?${query}`, { until, initiator: at.url });
      } else {
        at = await this.submit(at, form, this.answer(form), { until });
      }
    }
    return new URL(at.url);
  }

  /** What a client gives as its "open the browser": the URL at which the client's redirect URI is reached. */
  visit(authorizeUrl, redirectUri) {
    const target = new URL(redirectUri);
    return this.login(String(authorizeUrl), (url) => {
      const { protocol, host, pathname } = new URL(url); // the origin of a private-use scheme is "null"
      return protocol === target.protocol && host === target.host && pathname === target.pathname;
    });
  }
}

/** Fetch Metadata: how the initiator stands to every URL of the redirect chain. */
function site(initiator, chain) {
  if (!initiator) return 'none';
  const from = new URL(initiator);
  const to = chain.map((url) => new URL(url));
  if (to.every((url) => url.origin === from.origin)) return 'same-origin';
  return to.every((url) => url.hostname === from.hostname) ? 'same-site' : 'cross-site';
}
