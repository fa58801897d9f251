"""Cloudflare's SDK waits as the stand-in asks: 429 with Retry-After, then the answer. Arguments: the base URL, a token, the account."""

import sys

from cloudflare import Cloudflare, RateLimitError

URL, TOKEN, ACCOUNT = sys.argv[1:]
sdk = Cloudflare(api_token=TOKEN, base_url=URL, max_retries=2, _strict_response_validation=True)
assert list(sdk.zero_trust.access.groups.list(account_id=ACCOUNT)) == []
try:
    sdk.with_options(max_retries=0).zero_trust.access.service_tokens.list(account_id=ACCOUNT)
except RateLimitError as error:
    assert [item.code for item in error.errors] == [971], error
    assert error.response.headers["retry-after"] == "1" and "ratelimit" in error.response.headers
    print("right")
