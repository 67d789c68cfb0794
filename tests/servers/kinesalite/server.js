// node server.js PORT FOLDER: kinesalite on 127.0.0.1, its data in a LevelDB folder.
// Its own command line listens on all interfaces.
const kinesalite = require('kinesalite')

const [port, path] = process.argv.slice(2)
const quick = {createStreamMs: 50, deleteStreamMs: 50, updateStreamMs: 50}
const server = kinesalite({path, shardLimit: 100, ...quick})
// kinesalite ends with an exception when a client is killed in the middle of a request.
server.on('request', (request) => {
  request.removeAllListeners('error').on('error', () => request.destroy())
})
server.listen(Number(port), '127.0.0.1')
process.on('SIGTERM', () => process.exit(0))
