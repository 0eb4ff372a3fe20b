// graphile-worker: graphile-worker.mjs prepare|worker, or enqueue|trigger N.
import EventEmitter, { once } from 'node:events'

import { connectionString, dueCron, enqueue, load, names, record, say, schedules, trigger } from './common.mjs'

const { makeWorkerUtils, parseCrontab, run, WorkerPreset } = load('graphile-worker')
const pg = load('pg')

// The settings of the documentation's page Performance, with its batching and without.
const batching = process.env.PEER_BATCHED
  ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
  : {}
const preset = {
  extends: [WorkerPreset],
  worker: { connectionString, concurrentJobs: 24, maxPoolSize: 25, ...batching },
}

async function prepare() {
  const utils = await makeWorkerUtils({ preset })
  await utils.migrate()
  await utils.release()
}

async function work() {
  const events = new EventEmitter()
  const listening = once(events, 'pool:listen:success')
  const crontab = names(schedules)
    .map((name) => `${dueCron} enter ?id=schedule_${name} {name:"${name}"}`)
    .join('\n')
  const runner = await run({
    preset,
    events,
    parsedCronItems: parseCrontab(crontab),
    taskList: { enter: async ({ name }) => record(name) },
  })
  await listening
  say('ready')
  await runner.promise
}

// A client for the clients' verbs, in a process of its own.
async function withClient(act) {
  const utils = await makeWorkerUtils({ preset })
  const pool = new pg.Pool({ connectionString, max: 1 })
  await act({
    add: (name) => utils.addJob('enter', { name }),
    addAll: (chunk) => utils.addJobs(chunk.map((name) => ({ identifier: 'enter', payload: { name } }))),
    // A job that is done is deleted.
    unfinished: async () => {
      const { rows } = await pool.query('SELECT EXISTS (SELECT FROM graphile_worker._private_jobs) AS unfinished')
      return rows[0].unfinished
    },
  })
  await pool.end()
  await utils.release()
}

const [verb, number] = process.argv.slice(2)
const verbs = {
  prepare,
  worker: work,
  enqueue: () => withClient((client) => enqueue(Number(number), client)),
  trigger: () => withClient((client) => trigger(Number(number), client)),
}
await verbs[verb]()
