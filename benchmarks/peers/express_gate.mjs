// A gate and proxy of Express and its usual parts:
//
//     node express_gate.mjs PORT STORE_PORT UPSTREAM
//
// POST /sign-in begins a session; /api/proxy/… needs one.
import { Agent } from 'node:http';
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { createClient } from 'redis';
import { inWorkers } from './workers.mjs';

const [port, storePort, upstream] = process.argv.slice(2);
const IDLE_SECONDS = 1800;
const PROFILE = { sub: 'staff-1', name: '박지훈', groups: ['staff', 'support'] };

async function gate() {
  const client = await createClient({ socket: { host: '127.0.0.1', port: Number(storePort) } }).connect();
  const app = express();
  app.disable('x-powered-by');

  app.use(session({
    name: 'sid',
    secret: 'made up for a benchmark',
    resave: false,
    saveUninitialized: false,
    cookie: { sameSite: 'lax', maxAge: IDLE_SECONDS * 1000 },
    store: new RedisStore({ client, prefix: 'express:' }),
  }));

  app.post('/sign-in', (request, response) => {
    request.session.profile = PROFILE;
    response.status(204).end();
  });

  app.use('/api/proxy', admit, createProxyMiddleware({
    target: upstream,
    agent: new Agent({ keepAlive: true, maxSockets: 64 }),
    on: { proxyReq: identify },
  }));

  app.listen(Number(port), '127.0.0.1');
}

function admit(request, response, next) {
  if (!request.session.profile) return response.status(401).end();
  next();
}

function identify(outgoing, request) {
  const { sub, groups } = request.session.profile;
  outgoing.removeHeader('cookie');
  outgoing.setHeader('x-user', sub);
  outgoing.setHeader('x-groups', groups.join(','));
}

inWorkers(gate);
