// What both peers of Node.js share: their packages, their handler, and how a client is measured.
import { closeSync, existsSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

// One entry in measure/records.py.
const LINE_BYTES = '00000000 1700000000000000000\n'.length
const CHUNK = 1000
const POLL_MILLISECONDS = 5
const TRIGGER_MILLISECONDS = 60_000

export const connectionString = process.env.PEER_POSTGRES
export const schedules = Number(process.env.PEER_SCHEDULES ?? 0)
export const due = new Date(Number(process.env.PEER_DUE ?? 0) * 1000)
export const dueCron = `${due.getUTCMinutes()} ${due.getUTCHours()} * * *`

// The packages are installed elsewhere than these files.
export const load = createRequire(join(process.env.WATCHBELL_PEERS, 'node', 'package.json'))

export const names = (n) => Array.from({ length: n }, (_, index) => String(index).padStart(8, '0'))

export const say = (line) => writeSync(1, `${line}\n`)

// The wall clock in nanoseconds. Date.now() would round to milliseconds.
const nowNanoseconds = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n

let descriptor

// The handler: it writes down that it was entered, and does nothing else.
export function record(name) {
  const at = nowNanoseconds()
  descriptor ??= openSync(process.env.PEER_RECORD, 'a')
  writeSync(descriptor, `${name} ${at}\n`)
}

// Enqueues n jobs in chunks, and waits until the store has none that is not done.
export async function enqueue(n, { addAll, unfinished }) {
  const all = names(n)
  for (let start = 0; start < n; start += CHUNK) {
    await addAll(all.slice(start, start + CHUNK))
    if (start === 0) say(`committed ${nowNanoseconds()}`)
  }
  // The handlers' record tells when to begin to ask, so that asking takes nothing from the work.
  const path = process.env.PEER_RECORD
  while (!existsSync(path) || statSync(path).size < n * LINE_BYTES) await sleep(POLL_MILLISECONDS)
  while (await unfinished()) await sleep(POLL_MILLISECONDS)
  say(`completed ${nowNanoseconds()}`)
}

// Enqueues one job after the other, each when the one before has entered its handler.
export async function trigger(n, { add }) {
  const pipe = openSync(process.env.PEER_RECORD, 'r')
  const buffer = Buffer.alloc(LINE_BYTES)
  const latencies = []
  const giveUpAt = performance.now() + TRIGGER_MILLISECONDS
  for (const name of names(n)) {
    const started = nowNanoseconds()
    await add(name)
    // Blocks this process, in which nothing else has to run.
    readSync(pipe, buffer)
    const [entered, at] = buffer.toString().trim().split(' ')
    if (entered !== name) throw new Error(`${entered} was entered, not ${name}`)
    latencies.push(Number(BigInt(at) - started) / 1e6)
    if (performance.now() > giveUpAt) break
  }
  closeSync(pipe)
  say(`latencies ${JSON.stringify(latencies)}`)
}
