// What node-postgres sees of a server, as JSON: it is run directly and through the gateway, and both must be the same.
'use strict'

const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const { from, to } = require('pg-copy-streams')
const { pipeline } = require('node:stream/promises')
const { Readable } = require('node:stream')
const fs = require('node:fs')

const settings = {
  host: 'localhost',
  port: Number(process.env.PEER_PORT),
  user: process.env.PEER_USER,
  database: process.env.PEER_DATABASE,
  ssl: {
    ca: fs.readFileSync(process.env.PEER_CA),
    cert: fs.readFileSync(process.env.PEER_CERTIFICATE),
    key: fs.readFileSync(process.env.PEER_KEY)
  }
}

async function main () {
  const seen = []
  const client = new Client(settings)
  const notices = []
  client.on('notice', notice => notices.push([notice.severity, notice.code, notice.message]))
  await client.connect()
  const attempt = async query => {
    try {
      const result = await client.query(query)
      for (const one of [].concat(result)) {
        seen.push([one.command, one.rowCount, one.rows, one.fields.map(field => [field.name, field.dataTypeID])])
      }
    } catch (error) {
      seen.push([error.code, error.severity, error.message, error.detail, error.position, error.routine])
    }
  }

  await attempt('select 1 as one; select now() = now() as same, null as nothing')
  await attempt({ text: 'select $1::text as a, $2::int4[] as b, $3::jsonb as c', values: ['ä', [1, 2], { x: [1] }] })
  for (const id of [1, 2, 3]) {
    await attempt({ name: 'by id', text: 'select id, amount, tags from sales.orders where id = $1', values: [id] })
  }
  await attempt({ name: 'by id', text: 'select id, amount, tags from sales.orders where id = $1', values: ['x'] })
  await attempt('selekt')
  await attempt("do $$ begin raise notice 'heard'; end $$")
  await attempt('begin')
  await attempt('select 1/0')
  await attempt('select 1')
  await attempt('rollback')

  await client.query('create temp table copied (id int, what text)')
  await pipeline(Readable.from(['1\tone\n', '2\ttwo\n']), client.query(from('copy copied from stdin')))
  let out = ''
  for await (const data of client.query(to('copy copied to stdout (format csv)'))) out += data
  seen.push(out)

  const cursor = client.query(new Cursor('select id from sales.orders order by id'))
  seen.push(await cursor.read(3), await cursor.read(2))
  await cursor.close()
  seen.push(notices)
  await client.end()

  const pool = new Pool({ ...settings, max: 5 })
  const all = await Promise.all(Array.from({ length: 50 }, (_, n) => pool.query('select $1::int * 2 as n', [n])))
  seen.push(all.map(result => result.rows[0].n))
  await pool.end()
  console.log(JSON.stringify(seen, null, 1))
}

main().catch(error => { console.error(error); process.exit(1) })
