// A certified OpenID provider that we did not write, as strict as it can be set.
//
//     node provider.mjs PORT SITE_URL KEY_FILE [CLIENT_KEY]
//
// It serves http://127.0.0.1:PORT, signs with the key in KEY_FILE (a new one if there is
// none) and knows one client, this site, by a secret or by CLIENT_KEY, a public JWK. Each line of its
// standard output is one JSON object: what happened, and the values of the tokens, so
// that a test can look for them where they must not be. Made for loopback only.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const [port, site, keyFile, clientKey] = process.argv.slice(2);
const authentication = clientKey ? 'private_key_jwt' : 'client_secret_basic';
const issuer = `http://127.0.0.1:${port}`;

const PEOPLE = {
  'staff-1': { name: '박지훈', preferred_username: 'jihoon', department: 'Support', groups: ['staff', 'support'] },
  'admin-1': { name: '김서연', preferred_username: 'seoyeon', department: 'Security', groups: ['staff', 'security-admins'] },
  'guest-1': { name: 'Kim Guest', preferred_username: 'guest', department: 'Agency', groups: ['contractors'] },
};

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'backoffice',
    ...(clientKey ? { jwks: { keys: [JSON.parse(clientKey)] } } : { client_secret: 'a client secret' }),
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: [`${site}/sso/complete/oidc/`],
    post_logout_redirect_uris: [`${site}/signed-out/`],
    token_endpoint_auth_method: authentication,
    backchannel_logout_uri: `${site}/sso/backchannel-logout/`,
    backchannel_logout_session_required: true,
    require_auth_time: true,
  }],
  clientAuthMethods: [authentication],
  responseTypes: ['code'],
  scopes: ['openid', 'profile', 'email', 'groups'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'department'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  pkce: { required: () => true },
  issueRefreshToken: async () => true,
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: { enabled: true },
    backchannelLogout: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: false },
  },
  cookies: { keys: ['made up for tests'] },
  jwks: { keys: [{ ...rsaKey(), use: 'sig', alg: 'RS256' }] },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  // The library's own dispatcher reaches no address on loopback, where the site lives.
  fetch: (url, { dispatcher, ...options }) => {
    tell('fetch', { url, body: `${options.body}` });
    return fetch(url, options);
  },
  findAccount: (_, sub) => PEOPLE[sub] && {
    accountId: sub,
    claims: () => ({ sub, email: `${sub}@example.com`, email_verified: true, ...PEOPLE[sub] }),
  },
  renderError: (ctx, out) => {
    ctx.type = 'text/plain';
    ctx.body = `${out.error}: ${out.error_description}`;
  },
});

function rsaKey() {
  if (!existsSync(keyFile)) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(keyFile, JSON.stringify(privateKey.export({ format: 'jwk' })), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(keyFile, 'utf8'));
}

function tell(event, facts = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`);
}

for (const kind of ['access_token', 'refresh_token', 'authorization_code']) {
  provider.on(`${kind}.saved`, (token) => tell(`${kind}.saved`, { value: token.jti }));
}
provider.on('access_token.destroyed', (token) => tell('access_token.destroyed', { value: token.jti }));
provider.on('grant.revoked', (ctx, grantId) => tell('grant.revoked', { value: grantId }));
provider.on('session.saved', (session) => tell('session.saved', { account: session.accountId }));
provider.on('session.destroyed', (session) => tell('session.destroyed', { account: session.accountId }));
provider.on('authorization.success', (ctx) => tell('authorization.success', { asked: ctx.oidc.params }));
provider.on('authorization.error', (ctx, error) => tell('authorization.error', { error: error.message, detail: error.error_description }));
provider.on('grant.success', (ctx) => tell('grant.success', {
  by: ctx.headers.authorization?.split(' ')[0] ?? 'body', type: ctx.oidc.params.grant_type,
}));
provider.on('grant.error', (ctx, error) => tell('grant.error', { error: error.message, detail: error.error_detail }));
provider.on('revocation.error', (ctx, error) => tell('revocation.error', { error: error.message, detail: error.error_detail }));
provider.on('refresh_token.destroyed', () => tell('revocation'));
provider.on('end_session.success', () => tell('end_session.success'));
provider.on('backchannel.success', (ctx, client, sub, sid) => tell('backchannel.success', { sub, sid }));
provider.on('backchannel.error', (ctx, error, client, sub, sid) => tell('backchannel.error', { sub, sid, error: error.message }));
provider.on('server_error', (ctx, error) => tell('server_error', { error: error.stack }));

// The company's own client: nobody is asked what it may know.
async function grant(interaction, accountId) {
  const given = new provider.Grant({ accountId, clientId: interaction.params.client_id });
  given.addOIDCScope(interaction.params.scope);
  return given.save();
}

function page(uid) {
  const people = Object.keys(PEOPLE).map((sub) => `<button name="sub" value="${sub}">${sub}</button>`);
  return `<!DOCTYPE html><title>Sign in</title>
<form method="post" action="/interaction/${uid}/sign-in">${people.join('')}</form>
<form method="post" action="/interaction/${uid}/cancel"><button>Cancel</button></form>`;
}

provider.use(async (ctx, next) => {
  const [, uid, step] = ctx.path.match(/^\/interaction\/([\w-]+)(?:\/([\w-]+))?$/) ?? [];
  if (!uid) return next();
  const interaction = await provider.interactionDetails(ctx.req, ctx.res);
  if (ctx.method === 'GET' && interaction.prompt.name === 'login') {
    tell('login.asked', { reasons: interaction.prompt.reasons });
    ctx.body = page(uid);
    return undefined;
  }
  ctx.respond = false;
  return provider.interactionFinished(ctx.req, ctx.res, await result(ctx, interaction, step));
});

async function result(ctx, interaction, step) {
  if (step === 'cancel') return { error: 'access_denied', error_description: 'not today' };
  if (interaction.prompt.name === 'consent') {
    return { consent: { grantId: await grant(interaction, interaction.session.accountId) } };
  }
  let form = '';
  for await (const piece of ctx.req) form += piece;
  const accountId = new URLSearchParams(form).get('sub');
  return { login: { accountId }, consent: { grantId: await grant(interaction, accountId) } };
}

provider.listen(Number(port), '127.0.0.1', () => tell('ready', { issuer }));
