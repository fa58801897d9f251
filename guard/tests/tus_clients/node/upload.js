// node upload.js ENDPOINT ASSERTION FILE PART: uploads a file with tus-js-client, as any program would, and prints what it was told.
import fs from "node:fs";
import * as tus from "tus-js-client";

const [endpoint, assertion, path, part] = process.argv.slice(2);
const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint,
  headers: { "Cf-Access-Jwt-Assertion": assertion },
  uploadSize: fs.statSync(path).size,
  chunkSize: Number(part),
  retryDelays: [0, 100, 300, 1000, 3000],
  metadata: { filename: "holiday.mov", filetype: "video/quicktime" },
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onChunkComplete(size, accepted) {
    console.log("part " + accepted);
  },
  onSuccess(payload) {
    console.log("done " + payload.lastResponse.getHeader("Guard-Asset-Status"));
  },
});
upload.start();
