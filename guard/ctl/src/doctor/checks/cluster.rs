//! Checks of the cluster itself.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::doctor::evidence::{Evidence, Look};
use crate::doctor::graph::{Outcome, Problem};

/// Tokens name the second from which they are valid, and guard allows a difference of 10 s.
const CLOCK_FAIL: i64 = 10;
const CLOCK_WARN: i64 = 3;
/// A nightly backup that was missed once.
const BACKUP_DAYS: u64 = 2;

pub(super) fn api(evidence: &Evidence) -> Outcome {
    match &evidence.api {
        Look::Found(version) => Outcome::Pass(format!("Kubernetes {version}")),
        Look::Failed(reason) => Outcome::Fail(Problem::new(
            format!("the API server does not answer: {reason}"),
            "kubectl cluster-info   # then the node: systemctl status k3s, or kubelet",
        )),
        Look::Skipped => Outcome::Skip("not looked at".to_owned()),
    }
}

pub(super) fn clocks(evidence: &Evidence) -> Outcome {
    let sides = [("the cluster", evidence.clock_api), ("Cloudflare", evidence.clock_edge)];
    let known = || sides.into_iter().filter_map(|(name, ahead)| Some((name, ahead?)));
    let Some((name, ahead)) = known().max_by_key(|(_, ahead)| ahead.abs()) else {
        return Outcome::Skip("no clock was seen".to_owned());
    };
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let found = format!("this computer's clock is {} s {direction} that of {name}", ahead.abs());
    let fix = "timedatectl set-ntp true   # on the computer whose clock is wrong: compare `date -u` there and here";
    match ahead.abs() {
        0..=CLOCK_WARN => Outcome::Pass(format!("they differ by {} s at most", ahead.abs())),
        ahead if ahead <= CLOCK_FAIL => Outcome::Warn(Problem::new(found, fix)),
        _ => Outcome::Fail(Problem::new(format!("{found}: tokens count as not yet valid, or as expired"), fix)),
    }
}

fn condition<'e>(node: &'e serde_json::Value, kind: &str) -> Option<&'e serde_json::Value> {
    node["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

pub(super) fn nodes(evidence: &Evidence) -> Outcome {
    let name = |node: &serde_json::Value| node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let bad: Vec<_> = evidence
        .all("Node")
        .filter(|node| condition(node, "Ready").is_none_or(|ready| ready["status"] != "True"))
        .map(name)
        .collect();
    let count = evidence.all("Node").count();
    match bad.first() {
        _ if count == 0 => Outcome::Skip("no node could be listed".to_owned()),
        None => Outcome::Pass(format!("{count} ready")),
        Some(node) => Outcome::Fail(Problem::new(
            format!("not ready: {}", bad.join(", ")),
            format!(
                "kubectl describe node {node} | sed -n '/Conditions/,/Addresses/p'   # then on {node}: systemctl restart k3s, or kubelet"
            ),
        )),
    }
}

pub(super) fn pressure(evidence: &Evidence) -> Outcome {
    for node in evidence.all("Node") {
        for kind in ["DiskPressure", "MemoryPressure", "PIDPressure"] {
            if condition(node, kind).is_some_and(|it| it["status"] == "True") {
                let name = node["metadata"]["name"].as_str().unwrap_or_default();
                return Outcome::Fail(Problem::new(
                    format!("{name} has {kind}: pods are evicted"),
                    format!("on {name}: df -h / /var/lib   # make room; images that nobody uses: crictl rmi --prune"),
                ));
            }
        }
    }
    Outcome::Pass(String::new())
}

pub(super) fn namespaces(evidence: &Evidence) -> Outcome {
    for name in ["immich", "immich-edge"] {
        if evidence.get("Namespace", "", name).is_none() {
            return Outcome::Fail(Problem::new(
                format!("there is no namespace {name}: nothing was applied yet, or this is another cluster"),
                "kubectl config current-context   # the right cluster? then: kubectl apply -k clusters/home.local/flux",
            ));
        }
    }
    Outcome::Pass(String::new())
}

pub(super) fn backup(evidence: &Evidence) -> Outcome {
    let Some(job) = evidence.get("CronJob", "immich", "immich-db-backup") else {
        return Outcome::Skip("the component db-backup is not on (docs/components.md#db-backup)".to_owned());
    };
    let last = job["status"]["lastSuccessfulTime"].as_str();
    let run =
        "kubectl -n immich create job --from=cronjob/immich-db-backup backup-now && kubectl -n immich logs -f job/backup-now";
    let Some(last) = last else { return Outcome::Warn(Problem::new("no backup has succeeded yet", run)) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match days_since(last, now) {
        Some(days) if days > BACKUP_DAYS => {
            Outcome::Fail(Problem::new(format!("the last backup is {days} days old ({last})"), run))
        }
        _ => Outcome::Pass(format!("the last one: {last}")),
    }
}

/// Days from an RFC 3339 date to a time (seconds since 1970). Day numbers: H. Hinnant, `days_from_civil`.
fn days_since(date: &str, now: u64) -> Option<u64> {
    let mut parts = date.get(..10)?.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    (now / 86_400).checked_sub(u64::try_from(days).ok()?)
}

#[cfg(test)]
mod tests {
    use super::days_since;

    #[test]
    fn days_are_counted_over_months_and_leap_years() {
        assert_eq!(days_since("1970-01-01T00:00:00Z", 86_400 * 3), Some(3));
        assert_eq!(days_since("2024-02-28T02:30:00Z", 1_709_251_200), Some(2), "29 February 2024 is between");
        assert_eq!(days_since("2026-11-20T02:30:00Z", 1_795_564_800), Some(5));
        assert_eq!(days_since("soon", 0), None);
    }
}
