// The same gate as h3_gate.mjs, with the forwarding written by hand on undici's pool
// and Node's own response, past the framework: what Node can do at most.
//
//     node h3_undici_gate.mjs PORT STORE_PORT UPSTREAM
import { randomUUID } from 'node:crypto';
import { H3, getCookie, getProxyRequestHeaders, noContent, serve, setCookie } from 'h3';
import Redis from 'ioredis';
import { Pool } from 'undici';
import { inWorkers } from './workers.mjs';

const [port, storePort, upstream] = process.argv.slice(2);
const PREFIX = '/api/proxy';
const IDLE_SECONDS = 1800;
const OURS = ['cookie', 'x-user', 'x-groups'];
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade'];
const PROFILE = { sub: 'staff-1', name: '박지훈', groups: ['staff', 'support'] };
const HANDLED = Symbol.for('h3.handled');

function gate() {
  const store = new Redis({ port: Number(storePort), enableAutoPipelining: true });
  const pool = new Pool(upstream, { connections: 64 });
  const app = new H3();

  app.post('/sign-in', async (event) => {
    const id = randomUUID();
    await store.set(`session:${id}`, JSON.stringify(PROFILE), 'EX', IDLE_SECONDS);
    setCookie(event, 'session_id', id, { httpOnly: true, sameSite: 'lax', path: '/' });
    return noContent();
  });

  app.all(`${PREFIX}/**`, async (event) => {
    const id = getCookie(event, 'session_id');
    const found = id && await store.get(`session:${id}`);
    if (!found) return new Response(null, { status: 401 });
    await forward(event, pool, JSON.parse(found));
    return HANDLED;
  });

  serve(app, { port: Number(port), hostname: '127.0.0.1', silent: true });
}

function forward(event, pool, { sub, groups }) {
  const { pathname, search } = event.url;
  const headers = getProxyRequestHeaders(event, { filterHeaders: OURS });
  headers['x-user'] = sub;
  headers['x-groups'] = groups.join(',');
  const { method, body } = event.req;
  const path = `${pathname.slice(PREFIX.length)}${search}`;
  return pool.stream({ path, method, headers, body }, ({ statusCode, headers: fields }) => {
    for (const name of HOP_BY_HOP) delete fields[name];
    return event.runtime.node.res.writeHead(statusCode, fields);
  });
}

inWorkers(gate);
