"""Every call that guardctl made, once more by the method of Cloudflare's SDK: it must send the same method, path, query and body.

Input: a JSON list of {method, path, query, body}. The SDK sends nothing: its transport only keeps the request.
"""

import json
import re
import sys
from urllib.parse import parse_qsl

import httpx
from cloudflare import Cloudflare

sent = []


def keep(request):
    sent.append(request)
    return httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": None})


sdk = Cloudflare(api_token="none", base_url="https://api.example.com/client/v4", max_retries=0,
                 http_client=httpx.Client(transport=httpx.MockTransport(keep)))
access, tunnels = sdk.zero_trust.access, sdk.zero_trust.tunnels.cloudflared
ACCOUNT, ZONE, ID = "/accounts/(?P<account_id>[^/]+)", "/zones/(?P<zone_id>[^/]+)", "(?P<id>[^/]+)"


def exact(query):
    return {key.removesuffix(".exact"): {"exact": value} for key, value in query.items()}


# Method and path of guardctl, and the SDK's method; it gets the ids of the path, the query and the members of the body as its arguments.
METHODS = [
    ("GET", "/user/tokens/verify", lambda p, q, b: sdk.user.tokens.verify()),
    ("GET", f"{ACCOUNT}/tokens/verify", lambda p, q, b: sdk.accounts.tokens.verify(**p)),
    ("GET", "/zones", lambda p, q, b: sdk.zones.list(**q)),
    ("GET", f"{ACCOUNT}/access/organizations", lambda p, q, b: sdk.zero_trust.organizations.list(**p)),
    ("GET", f"{ACCOUNT}/access/identity_providers", lambda p, q, b: sdk.zero_trust.identity_providers.list(**p, **q)),
    ("GET", f"{ACCOUNT}/access/groups", lambda p, q, b: access.groups.list(**p, **q)),
    ("GET", f"{ACCOUNT}/access/service_tokens", lambda p, q, b: access.service_tokens.list(**p, **q)),
    ("POST", f"{ACCOUNT}/access/service_tokens", lambda p, q, b: access.service_tokens.create(**p, **b)),
    ("POST", f"{ACCOUNT}/access/service_tokens/{ID}/rotate", lambda p, q, b: access.service_tokens.rotate(p.pop("id"), **p, **b)),
    ("GET", f"{ACCOUNT}/access/policies", lambda p, q, b: access.policies.list(**p, **q)),
    ("POST", f"{ACCOUNT}/access/policies", lambda p, q, b: access.policies.create(**p, **b)),
    ("PUT", f"{ACCOUNT}/access/policies/{ID}", lambda p, q, b: access.policies.update(p.pop("id"), **p, **b)),
    ("GET", f"{ACCOUNT}/access/apps", lambda p, q, b: access.applications.list(**p, **q)),
    ("POST", f"{ACCOUNT}/access/apps", lambda p, q, b: access.applications.create(**p, **b)),
    ("PUT", f"{ACCOUNT}/access/apps/{ID}", lambda p, q, b: access.applications.update(p.pop("id"), **p, **b)),
    ("GET", f"{ACCOUNT}/cfd_tunnel", lambda p, q, b: tunnels.list(**p, **{**q, "is_deleted": q["is_deleted"] == "true"})),
    ("POST", f"{ACCOUNT}/cfd_tunnel", lambda p, q, b: tunnels.create(**p, **b)),
    ("GET", f"{ACCOUNT}/cfd_tunnel/{ID}/token", lambda p, q, b: tunnels.token.get(p.pop("id"), **p)),
    ("GET", f"{ACCOUNT}/cfd_tunnel/{ID}/configurations", lambda p, q, b: tunnels.configurations.get(p.pop("id"), **p)),
    ("GET", f"{ZONE}/dns_records", lambda p, q, b: sdk.dns.records.list(**p, **exact(q))),
    ("POST", f"{ZONE}/dns_records", lambda p, q, b: sdk.dns.records.create(**p, **b)),
    ("PATCH", f"{ZONE}/dns_records/{ID}", lambda p, q, b: sdk.dns.records.edit(p.pop("id"), **p, **b)),
    ("GET", f"{ZONE}/rulesets/phases/{ID}/entrypoint", lambda p, q, b: sdk.rulesets.phases.get(p.pop("id"), **p)),
    ("PUT", f"{ZONE}/rulesets/phases/{ID}/entrypoint", lambda p, q, b: sdk.rulesets.phases.update(p.pop("id"), **p, **b)),
    ("POST", f"{ZONE}/rulesets/(?P<ruleset_id>[^/]+)/rules", lambda p, q, b: sdk.rulesets.rules.create(p.pop("ruleset_id"), **p, **b)),
    ("PATCH", f"{ZONE}/rulesets/(?P<ruleset_id>[^/]+)/rules/{ID}", lambda p, q, b: sdk.rulesets.rules.edit(p.pop("id"), **p, **b)),
    ("GET", f"{ZONE}/settings/{ID}", lambda p, q, b: sdk.zones.settings.get(p.pop("id"), **p)),
    ("PATCH", f"{ZONE}/settings/{ID}", lambda p, q, b: sdk.zones.settings.edit(p.pop("id"), **p, **b)),
    ("GET", f"{ZONE}/bot_management", lambda p, q, b: sdk.bot_management.get(**p)),
    ("GET", f"{ZONE}/ssl/certificate_packs", lambda p, q, b: sdk.ssl.certificate_packs.list(**p, **q)),
]

used = set()
for call in json.load(sys.stdin):
    method, path, body = call["method"], call["path"], call["body"]
    # The SDK asks for pages by itself.
    query = {key: value for key, value in parse_qsl(call["query"]) if key not in ("page", "per_page")}
    found = [(number, re.fullmatch(pattern, path), send) for number, (verb, pattern, send) in enumerate(METHODS) if verb == method]
    found = [(number, match, send) for number, match, send in found if match]
    assert len(found) == 1, f"no method of the SDK for {method} {path}"
    number, match, send = found[0]
    sent.clear()
    send(match.groupdict(), dict(query), body or {})
    request = sent[0]
    assert request.method == method, (request.method, call)
    assert request.url.path == "/client/v4" + path, (request.url.path, call)
    assert dict(request.url.params) == query, (dict(request.url.params), query)
    theirs = json.loads(request.content) if request.content else None
    assert (theirs or {}) == (body or {}), f"{method} {path}\nguardctl: {body}\nthe SDK:  {theirs}"
    used.add(number)
print("\n".join(sorted(f"{METHODS[number][0]} {METHODS[number][1]}" for number in set(range(len(METHODS))) - used)))
