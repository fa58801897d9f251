//! Every case through both proxies, held side by side: each difference is in the table, and each line of the table was seen.

use std::collections::BTreeSet;

use testkit::environment::{forward_auth_args, open};

use crate::caddy::Caddy;
use crate::cases::{CASES, Case};
use crate::differences::{ANY, DIFFERENCES, Difference, LAXER, Laxer, NONE};
use crate::side::{Facts, Side};

pub(crate) async fn where_guard_differs_from_caddy_it_is_the_stricter() {
    let (mut at_caddy, mut at_guard) = (Side::new().await, Side::new().await);
    let caddy = Caddy::start("photos.example.com", &at_caddy.environment.front_door.url(), &at_caddy.environment.immich.url());
    let guard = open(&forward_auth_args(
        &at_guard.environment.front_door.url(),
        "http://photos.example.com",
        &at_guard.environment.immich.url(),
    ));
    guard.trust_source.ready().await;
    let (mut seen, mut laxer_ones) = (BTreeSet::new(), BTreeSet::new());
    let (mut unexplained, mut differing, mut facts) = (Vec::new(), 0, 0);
    for case in CASES {
        let (caddys, guards) = (at_caddy.play(caddy.address, case).await, at_guard.play(guard.address, case).await);
        nothing_made_up_arrives(case, &guards);
        let laxer = LAXER.iter().find(|laxer| laxer.case == case.name);
        let names: BTreeSet<_> = caddys.keys().chain(guards.keys()).collect();
        facts += names.len();
        for name in names {
            let (of_caddy, of_guard) = (caddys.get(name).map(String::as_str), guards.get(name).map(String::as_str));
            if of_caddy == of_guard {
                continue;
            }
            differing += 1;
            if laxer.is_some_and(|laxer| (Some(laxer.fact.1), Some(laxer.fact.2)) == (of_caddy, of_guard) && laxer.fact.0 == name)
            {
                laxer_ones.insert(case.name);
            }
            let line = DIFFERENCES.iter().position(|line| line.explains(case.name, name, of_caddy, of_guard));
            match (line, laxer) {
                (Some(line), _) => drop(seen.insert((line, case.name))),
                (None, Some(_)) => {}
                (None, None) => unexplained.push(format!(
                    "{}: {name}: Caddy {}, guard {}",
                    case.name,
                    of_caddy.unwrap_or(NONE),
                    of_guard.unwrap_or(NONE)
                )),
            }
        }
    }
    guard.stop();
    println!("{} cases, {facts} facts, {differing} of them differ, by {} lines of the table", CASES.len(), DIFFERENCES.len());
    println!("in {} of them guard lets more through: {laxer_ones:?}", laxer_ones.len());
    assert!(unexplained.is_empty(), "not in the table:\n{}", unexplained.join("\n"));
    let dead = DIFFERENCES.iter().enumerate().flat_map(|(line, difference)| {
        let is_seen = seen.iter().any(|(seen, _)| *seen == line);
        let unseen = difference.cases.iter().filter(|case| difference.is_verdict() && !seen.contains(&(line, **case)));
        let cases = unseen.copied().chain((!is_seen).then_some("any case"));
        cases.map(|case| format!("{:?} in {case}: {}", difference.facts, difference.why)).collect::<Vec<_>>()
    });
    let dead: Vec<_> = dead.collect();
    assert!(dead.is_empty(), "in the table, and not seen:\n{}", dead.join("\n"));
    for Laxer { case, why, .. } in LAXER {
        assert!(laxer_ones.contains(case), "{case}: guard is no longer laxer, and the table says why it was: {why}");
    }
}

/// Whatever Caddy does: no word of a client about itself or its way, in any spelling, and no spent credential gets past guard.
fn nothing_made_up_arrives(case: &Case, facts: &Facts) {
    for (name, value) in facts {
        let is_told = (name.starts_with("asked ") || name.starts_with("immich ")) && !name.ends_with(" line");
        let is_made_up =
            ["admin", "6.6.6.6", "other.example.com", "evil", "e30", "/public/"].iter().any(|word| value.contains(word));
        // The target as it was, and a page's origin, are no claims.
        let is_claim = !["asked x-forwarded-uri", "asked x-original-url", "immich origin"].contains(&name.as_str());
        assert!(!(is_told && is_made_up && is_claim), "{}: {name}: {value}", case.name);
        let is_secret = ["SESSION", "BASIC", "BEARER"].iter().any(|word| value.contains(word));
        assert!(!(name.starts_with("immich ") && is_secret), "{}: {name}: {value}", case.name);
        assert!(!name.contains('_'), "{}: an underscore got through: {name}", case.name);
    }
}

impl Difference {
    /// Whether it is about who is let through, and so has to hold in each of its cases.
    fn is_verdict(&self) -> bool {
        matches!(self.facts, ["answer status" | "immich times" | "asked times"])
    }

    fn explains(&self, case: &str, fact: &str, caddy: Option<&str>, guard: Option<&str>) -> bool {
        let is = |pattern: &str, value: Option<&str>| match pattern {
            NONE => value.is_none(),
            ANY => value.is_some(),
            exact => value == Some(exact),
        };
        let of_fact = |name: &&str| name.strip_suffix('*').map_or(*name == fact, |start| fact.starts_with(start));
        let in_case = self.cases.is_empty() || self.cases.contains(&case);
        in_case && self.facts.iter().any(of_fact) && is(self.caddy, caddy) && is(self.guard, guard)
    }
}
