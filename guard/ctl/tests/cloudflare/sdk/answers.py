"""Cloudflare's SDK as a client of the stand-in, with its types strict: from an empty account to a gated host name.

Arguments: the base URL, a token with every right, a token without `DNS Write`, the account, the zone, the host name.
"""

import sys

import cloudflare
from cloudflare import Cloudflare
from cloudflare.types.rulesets.phase_update_response import Ruleset
from pydantic import BaseModel

URL, TOKEN, WEAK, ACCOUNT, ZONE, HOST = sys.argv[1:]


def client(token, **options):
    return Cloudflare(api_token=token, base_url=URL, max_retries=0, _strict_response_validation=True, **options)


def typed(found):
    """An answer of one of the SDK's own types."""
    assert isinstance(found, (BaseModel, str)), (type(found), found)
    return found


def ruleset_of(found):
    """The SDK types these answers as `Ruleset | object`, so a wrong one would pass as any object."""
    return found if isinstance(found, BaseModel) else Ruleset.model_validate(found)


def typed_all(found):
    items = list(found)
    for item in items:
        typed(item)
    return items


def raises(kind, code, call):
    try:
        call()
    except kind as error:
        codes = [item.code for item in error.errors]
        assert code in codes, (code, codes, error)
        return
    raise AssertionError(f"{kind.__name__} with code {code} was expected")


sdk = client(TOKEN)
access, tunnels = sdk.zero_trust.access, sdk.zero_trust.tunnels.cloudflared

assert typed(sdk.user.tokens.verify()).status == "active"
zones = typed_all(sdk.zones.list(name="example.com"))
assert [zone.id for zone in zones] == [ZONE] and zones[0].account.id == ACCOUNT
assert typed(sdk.zero_trust.organizations.list(account_id=ACCOUNT)).auth_domain == "your-team.cloudflareaccess.com"
assert [it.type for it in typed_all(sdk.zero_trust.identity_providers.list(account_id=ACCOUNT))] == ["google"]
assert typed_all(access.groups.list(account_id=ACCOUNT)) == []

token = typed(access.service_tokens.create(account_id=ACCOUNT, name="ada", duration="8760h"))
assert token.client_secret and token.client_id.endswith(".access")
rotated = typed(access.service_tokens.rotate(token.id, account_id=ACCOUNT))
assert rotated.client_secret not in (None, token.client_secret) and rotated.client_id == token.client_id
assert [it.id for it in typed_all(access.service_tokens.list(account_id=ACCOUNT))] == [token.id]

phones = typed(access.policies.create(
    account_id=ACCOUNT, name="phones", decision="non_identity", include=[{"service_token": {"token_id": token.id}}]))
family = typed(access.policies.create(
    account_id=ACCOUNT, name="family", decision="allow", include=[{"email": {"email": "ada@example.com"}}]))
changed = typed(access.policies.update(
    family.id, account_id=ACCOUNT, name="family", decision="allow", include=[{"email": {"email": "bob@example.com"}}]))
assert changed.id == family.id and changed.reusable is True
assert len(typed_all(access.policies.list(account_id=ACCOUNT))) == 2

make = dict(account_id=ACCOUNT, type="self_hosted", domain=HOST, name="Immich", session_duration="24h",
            destinations=[{"type": "public", "uri": HOST}],
            policies=[{"id": phones.id, "precedence": 1}, {"id": family.id, "precedence": 2}])
app = typed(access.applications.create(**make))
assert len(app.aud) == 64 and [policy.id for policy in app.policies] == [phones.id, family.id]
again = typed(access.applications.update(app.id, **{**make, "session_duration": "12h"}))
assert again.aud == app.aud and again.session_duration == "12h"
raises(cloudflare.ConflictError, 11010, lambda: access.applications.create(**make))
raises(cloudflare.BadRequestError, 12130, lambda: access.policies.create(
    account_id=ACCOUNT, name="wrong", decision="allow", include=[{"group": {"id": "absent"}}]))
raises(cloudflare.ConflictError, 12132, lambda: access.policies.delete(family.id, account_id=ACCOUNT))

# Pages: more applications than one page holds, each seen once.
for number in range(45):
    access.applications.create(account_id=ACCOUNT, type="self_hosted", domain=f"app{number}.example.com", name=f"App {number}")
all_apps = typed_all(access.applications.list(account_id=ACCOUNT))
assert len(all_apps) == len({it.id for it in all_apps}) == 46, len(all_apps)
assert len(typed_all(access.applications.list(account_id=ACCOUNT, per_page=7))) == 46

tunnel = typed(tunnels.create(account_id=ACCOUNT, name="photos", config_src="local"))
assert tunnel.config_src == "local" and tunnel.status == "inactive"
assert isinstance(tunnels.token.get(tunnel.id, account_id=ACCOUNT), str)
assert [it.id for it in typed_all(tunnels.list(account_id=ACCOUNT, name="photos", is_deleted=False))] == [tunnel.id]
typed(tunnels.configurations.get(tunnel.id, account_id=ACCOUNT))
raises(cloudflare.ConflictError, 1013, lambda: tunnels.create(account_id=ACCOUNT, name="photos"))

PHASE = "http_request_cache_settings"
raises(cloudflare.NotFoundError, 10003, lambda: sdk.rulesets.phases.get(PHASE, zone_id=ZONE))
rule = dict(ref="ours", description="ours", expression=f'(http.host eq "{HOST}")', action="set_cache_settings",
            action_parameters={"cache": False}, enabled=True)
ruleset = ruleset_of(sdk.rulesets.phases.update(PHASE, zone_id=ZONE, rules=[rule]))
ruleset = ruleset_of(sdk.rulesets.rules.create(ruleset.id, zone_id=ZONE, **{**rule, "ref": "second"}))
assert [it.ref for it in ruleset.rules] == ["ours", "second"]
ruleset_of(sdk.rulesets.rules.edit(ruleset.rules[0].id, ruleset_id=ruleset.id, zone_id=ZONE, **rule))
ruleset_of(sdk.rulesets.phases.get(PHASE, zone_id=ZONE))

for setting in ["websockets", "rocket_loader", "security_level", "browser_check", "always_use_https", "development_mode"]:
    assert typed(sdk.zones.settings.get(setting, zone_id=ZONE)).id == setting
assert typed(sdk.zones.settings.edit("websockets", zone_id=ZONE, value="on")).value == "on"
assert typed(sdk.bot_management.get(zone_id=ZONE)).fight_mode is False
assert len(typed_all(sdk.ssl.certificate_packs.list(zone_id=ZONE, status="all"))) == 1

record = dict(zone_id=ZONE, type="CNAME", name=HOST, content=f"{tunnel.id}.cfargotunnel.com", proxied=True, ttl=1, comment="ours")
made = typed(sdk.dns.records.create(**record))
raises(cloudflare.BadRequestError, 81053, lambda: sdk.dns.records.create(**record))
raises(cloudflare.PermissionDeniedError, 10000, lambda: client(WEAK).dns.records.create(**record))
assert typed(sdk.dns.records.edit(made.id, **record)).proxied is True
for query in [{"name": {"exact": HOST}}, {"content": {"exact": record["content"]}}]:
    assert [it.id for it in typed_all(sdk.dns.records.list(zone_id=ZONE, **query))] == [made.id]
raises(cloudflare.AuthenticationError, 1000, lambda: client("cfut_" + "0" * 48).user.tokens.verify())
raises(cloudflare.NotFoundError, 81044, lambda: sdk.dns.records.edit("0" * 32, **record))
print("right")
