// The upstream's login and consent pages: plain forms, for a script or a browser.

const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}</html>`;

const LOGIN = (action, users) => page('Upstream sign-in', `
<form method="post" action="${action}/login">
<label>Account <select name="account">${users.map((name) => `<option value="${name}">${name}</option>`).join('')}</select></label>
<button type="submit" name="submit" value="login">Sign in</button></form>`);

const CONSENT = (action) => page('Upstream consent', `
<form method="post" action="${action}/consent">
<button type="submit" name="upstream_decision" value="allow">Continue</button>
<button type="submit" name="upstream_decision" value="deny">Cancel</button></form>`);

/** Handles `/interaction/UID` (GET) and `/interaction/UID/{login,consent}` (POST). */
export function interactions(provider, users) {
  return async function handle(req, res) {
    const [, , uid, step] = new URL(req.url, 'http://upstream').pathname.split('/');
    const details = await provider.interactionDetails(req, res);
    const action = `/interaction/${uid}`;
    if (req.method === 'GET') {
      const html = details.prompt.name === 'login' ? LOGIN(action, Object.keys(users)) : CONSENT(action);
      res.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }).end(html);
      return undefined;
    }
    const form = await body(req);
    if (step === 'login') return login(form);
    if (form.get('upstream_decision') === 'deny') {
      return finish({ error: 'access_denied', error_description: 'the upstream detail nobody may see' });
    }
    return consent(details);

    function finish(result) {
      return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
    }

    function login(fields) {
      const user = users[fields.get('account')];
      return finish(user ? { login: { accountId: user.sub } } : { error: 'access_denied' });
    }

    async function consent({ grantId, params, session, prompt }) {
      const grant = (grantId && (await provider.Grant.find(grantId)))
        || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
      if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
      return finish({ consent: { grantId: await grant.save() } });
    }
  };
}

async function body(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > 65_536) throw new Error('form too large');
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}
