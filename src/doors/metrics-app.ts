/** `GET /metrics`, on a port of its own, and nothing else: what is asked there never comes near the ways in of the world. */
import { Hono } from 'hono'
import { errorName, type Log } from '../platform/log.ts'
import type { Metrics } from './metrics.ts'

/** The page is for this machine alone: it says how the service does, and who reaches this port needs no leave. */
export const METRICS_HOST = '127.0.0.1'

export function metricsApp(metrics: Pick<Metrics, 'page' | 'contentType'>, log: Pick<Log, 'error'>): Hono {
  const app = new Hono()
  app.get('/metrics', async (c) =>
    c.body(await metrics.page(), 200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' }),
  )
  app.all('*', (c) => c.text('only GET /metrics is here', 404))
  app.onError((error, c) => {
    log.error('metrics.failed', { error: errorName(error) })
    return c.text('the numbers can not be read', 500)
  })
  return app
}
