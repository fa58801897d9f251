// A real OpenID provider on a free loopback port, for the browser stories: prints its issuer, then signs in whoever types the password.
// CLIENTS is a JSON list of clients (OpenID Connect Dynamic Client Registration 1.0, 2). Keys, sessions and grants die with the process.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const PEOPLE = {
  ada: { password: 'correct horse', email: 'ada@example.com', name: 'Ada', groups: ['family', 'immich-users'] },
};
const SCOPES = 'openid email profile';

const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}</html>`;

const configuration = {
  clients: JSON.parse(process.env.CLIENTS ?? '[]'),
  jwks: { keys: [{ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username', 'groups'] },
  // The clients read an ID token and nothing else.
  conformIdTokenClaims: false,
  pkce: { required: () => false },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = page('Sign out?', `${form}<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
      },
      postLogoutSuccessSource: (ctx) => {
        ctx.body = page('Signed out', '');
      },
    },
  },
  findAccount: (_ctx, id) => PEOPLE[id] && {
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, email_verified: true, ...PEOPLE[id], password: undefined }),
  },
  // Nobody is asked whether their own family's server may know their name.
  loadExistingGrant: async ({ oidc: { client, session, provider } }) => {
    const known = session.grantIdFor(client.clientId);
    if (known) return provider.Grant.find(known);
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(SCOPES);
    await grant.save();
    return grant;
  },
};

const body = async (request) => {
  let text = '';
  for await (const part of request) text += part;
  return new URLSearchParams(text);
};

async function interact(provider, request, response) {
  const { prompt } = await provider.interactionDetails(request, response);
  if (prompt.name !== 'login') throw new Error(`an interaction that nobody expects: ${prompt.name}`);
  let note = '';
  if (request.method === 'POST') {
    const form = await body(request);
    const person = PEOPLE[form.get('user')];
    if (person && person.password === form.get('password')) {
      await provider.interactionFinished(request, response, { login: { accountId: form.get('user') } }, { mergeWithLastSubmission: false });
      return;
    }
    note = '<p>Wrong name or password.</p>';
  }
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
  response.end(page('Sign in', `${note}<form method="post"><input name="user"><input name="password" type="password"><button>Sign in</button></form>`));
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  const answer = provider.callback();
  provider.on('server_error', (_ctx, error) => console.error(error));
  server.on('request', (request, response) => {
    if (!request.url.startsWith('/interaction/')) return answer(request, response);
    interact(provider, request, response).catch((error) => {
      console.error(error);
      response.writeHead(400).end('this sign-in is over');
    });
  });
  console.log(`issuer ${issuer}`);
});
