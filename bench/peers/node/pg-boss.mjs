// pg-boss: pg-boss.mjs prepare|worker, or enqueue|trigger N.
import { once } from 'node:events'

import { connectionString, due, dueCron, enqueue, load, names, record, say, schedules, trigger } from './common.mjs'

const { PgBoss } = load('pg-boss')
const pg = load('pg')

const QUEUE = 'peer'
const burst = process.env.PEER_PROMPT === '1'
const idle = schedules > 0 && !burst
// For a burst, schedules are looked for each second, and those that are due forwarded each second: the
// least that the constructor allows. By default it is 30 and 5 seconds, which costs less.
const CRON = burst ? { cronMonitorIntervalSeconds: 1, cronWorkerIntervalSeconds: 1 } : {}
// A poll as often as work() allows for jobs that no notification tells of, which are the delayed ones.
const POLL = { pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5 }
// Many jobs at once while there are many.
const BATCHED = { ...POLL, batchSize: 100, burstWhenBatchFull: true, localConcurrency: 2 }
// One job at a time, each worker the next at once while more than one is ready; and as many workers as
// its pool has connections. How many are ready it reads from statistics, by default a minute old, and
// without them each worker would sleep half a second after each job.
const ONE_BY_ONE = { ...POLL, burstWhenReadyExceeds: 1, localConcurrency: 10 }
const STATISTICS = { monitorIntervalSeconds: 1, superviseIntervalSeconds: 1, queueCacheIntervalSeconds: 1 }

const batched = Boolean(process.env.PEER_BATCHED)
const WORK = batched ? BATCHED : ONE_BY_ONE
const LOOK = batched || idle ? CRON : { ...CRON, ...STATISTICS }

async function start(options) {
  const boss = new PgBoss({ connectionString, ...options })
  boss.on('error', (error) => console.error(error))
  await boss.start()
  return boss
}

// One that neither schedules nor maintains.
const startClient = () => start({ schedule: false, supervise: false })

async function prepare() {
  const boss = await startClient()
  await boss.createQueue(QUEUE, { notify: true })
  if (process.env.PEER_DELAYED === '1') {
    await boss.insert(QUEUE, names(schedules).map((name) => ({ data: { name }, startAfter: due })))
  } else {
    await makeSchedules(boss)
  }
  await boss.stop()
}

async function makeSchedules(boss) {
  const left = names(schedules)
  // As many at a time as the pool has connections.
  const make = async () => {
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      await boss.schedule(QUEUE, dueCron, { name }, { key: name })
    }
  }
  await Promise.all(Array.from({ length: 10 }, make))
}

async function work() {
  const boss = await start({ useListenNotify: true, ...LOOK })
  await boss.work(QUEUE, WORK, async (jobs) => {
    for (const { data } of jobs) record(data.name)
  })
  say('ready')
  await once(process, 'SIGTERM')
  await boss.stop()
}

// A client for the clients' verbs, in a process of its own.
async function withClient(act) {
  const boss = await startClient()
  const pool = new pg.Pool({ connectionString, max: 1 })
  await act({
    add: (name) => boss.send(QUEUE, { name }),
    addAll: (chunk) => boss.insert(QUEUE, chunk.map((name) => ({ data: { name } }))),
    unfinished: async () => {
      const { rows } = await pool.query(
        "SELECT EXISTS (SELECT FROM pgboss.job WHERE name = $1 AND state < 'completed') AS unfinished",
        [QUEUE],
      )
      return rows[0].unfinished
    },
  })
  await pool.end()
  await boss.stop()
}

const [verb, number] = process.argv.slice(2)
const verbs = {
  prepare,
  worker: work,
  enqueue: () => withClient((client) => enqueue(Number(number), client)),
  trigger: () => withClient((client) => trigger(Number(number), client)),
}
await verbs[verb]()
