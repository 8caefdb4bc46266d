// Two processes on one port, as many as the doors have.
import cluster from 'node:cluster';

export const WORKERS = 2;

export function inWorkers(serve) {
  if (!cluster.isPrimary) return serve();
  for (let n = 0; n < WORKERS; n += 1) cluster.fork();
  process.on('SIGTERM', () => process.exit(0));
}
