# python upload.py ENDPOINT ASSERTION FILE PART: uploads a file with tuspy, as any program would.
import sys

from tusclient import client

endpoint, assertion, path, part = sys.argv[1:]
uploader = client.TusClient(endpoint, headers={"Cf-Access-Jwt-Assertion": assertion}).uploader(
    path, chunk_size=int(part), retries=5, retry_delay=1, metadata={"filename": "holiday.mov"}
)
uploader.upload()
print("done")
