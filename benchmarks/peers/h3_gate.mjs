// A gate and proxy on h3 and ioredis, as small as such a thing is written:
//
//     node h3_gate.mjs PORT STORE_PORT UPSTREAM
//
// POST /sign-in begins a session; /api/proxy/… needs one.
import { randomUUID } from 'node:crypto';
import { H3, getCookie, noContent, proxyRequest, serve, setCookie } from 'h3';
import Redis from 'ioredis';
import { inWorkers } from './workers.mjs';

const [port, storePort, upstream] = process.argv.slice(2);
const PREFIX = '/api/proxy';
const IDLE_SECONDS = 1800;
const OURS = ['cookie', 'x-user', 'x-groups'];
const PROFILE = { sub: 'staff-1', name: '박지훈', groups: ['staff', 'support'] };

function gate() {
  const store = new Redis({ port: Number(storePort), enableAutoPipelining: true });
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
    const { sub, groups } = JSON.parse(found);
    const { pathname, search } = event.url;
    return proxyRequest(event, `${upstream}${pathname.slice(PREFIX.length)}${search}`, {
      filterHeaders: OURS,
      headers: { 'x-user': sub, 'x-groups': groups.join(',') },
    });
  });

  serve(app, { port: Number(port), hostname: '127.0.0.1', silent: true });
}

inWorkers(gate);
