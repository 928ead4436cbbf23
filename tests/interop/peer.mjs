// A js-libp2p host in a private network that speaks gossipfl's framing: it says once more what it hears.
//
//     node peer.mjs MESH.KEY [MULTIADDR]
//
// It prints the address where it listens. Given one, it dials that and speaks first.
import { readFileSync } from 'node:fs'

// Node 20 has it not, and js-libp2p needs it.
Promise.withResolvers ??= () => {
  const made = {}
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}

const { createLibp2p } = await import('libp2p')
const { tcp } = await import('@libp2p/tcp')
const { noise } = await import('@chainsafe/libp2p-noise')
const { yamux } = await import('@chainsafe/libp2p-yamux')
const { preSharedKey } = await import('@libp2p/pnet')
const { multiaddr } = await import('@multiformats/multiaddr')

const PROTOCOL = '/gossipfl/1'
const [keyFile, target] = process.argv.slice(2)
const writers = new Map()

const host = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionProtector: preSharedKey({ psk: readFileSync(keyFile) })
})

async function say (connection, body) {
  const peer = connection.remotePeer.toString()
  if (!writers.has(peer)) writers.set(peer, connection.newStream(PROTOCOL))
  const stream = await writers.get(peer)
  const frame = Buffer.alloc(4 + body.length)
  frame.writeUInt32BE(body.length)
  frame.set(body, 4)
  for (let at = 0; at < frame.length; at += 65536) {
    if (!stream.send(frame.subarray(at, at + 65536))) {
      await new Promise(resolve => stream.addEventListener('drain', resolve, { once: true }))
    }
  }
}

await host.handle(PROTOCOL, async (stream, connection) => {
  let held = Buffer.alloc(0)
  for await (const data of stream) {
    held = Buffer.concat([held, data.subarray()])
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) {
      const end = 4 + held.readUInt32BE()
      if (end > 4) await say(connection, held.subarray(4, end))
      held = held.subarray(end)
    }
  }
})

console.log(host.getMultiaddrs()[0].toString())
if (target !== undefined) {
  try {
    await say(await host.dial(multiaddr(target)), Buffer.from('from js'))
    console.log('said')
  } catch (error) {
    console.log(`failed: ${error.name}`)
  }
}
