//! The load that strangers can put on the auth server: a maximum of auth requests in flight, and a delay for repeated wrong passwords.
//!
//! Both are shared by all workers. A delayed client is never refused: an attacker who uses the name of a phone must not lock the phone out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The maximum number of auth requests in flight. Further ones are refused with 503.
pub const MAX_IN_FLIGHT: usize = 256;
/// The number of wrong passwords from one client before its auth requests are delayed.
pub const FREE_FAILURES: u32 = 5;
/// One failure is forgotten after each such period.
pub const FORGET_AFTER: Duration = Duration::from_secs(6);
/// The delay for each failure above [`FREE_FAILURES`].
const DELAY_STEP: Duration = Duration::from_millis(500);
/// The longest delay.
pub const MAX_DELAY: Duration = Duration::from_secs(5);
/// The maximum number of clients whose failures are counted. The oldest is forgotten when there are more.
const MAX_CLIENTS: usize = 1024;

/// The client of a password, as the request claims it: its address (IPv6 as /64, which one household has) and the name of the account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimedClient {
    network: u64,
    account: u64,
}

impl ClaimedClient {
    /// The client at `address` that names `account`, which is hashed.
    pub fn new(address: IpAddr, account: &[u8]) -> Self {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let network = match address.to_canonical() {
            // Below 2^32 there is no public IPv6 network.
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX),
        };
        let mut hasher = DefaultHasher::new();
        account.hash(&mut hasher);
        Self { network, account: hasher.finish() }
    }
}

/// The limits, shared by all workers.
pub struct AuthLoad {
    in_flight: Arc<Semaphore>,
    failures: Mutex<HashMap<ClaimedClient, Failures>>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Failures {
    /// The failures that are not forgotten yet.
    fn left(self) -> u32 {
        let forgotten = self.since.elapsed().as_secs() / FORGET_AFTER.as_secs();
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

impl Default for AuthLoad {
    fn default() -> Self {
        Self { in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)), failures: Mutex::default() }
    }
}

impl AuthLoad {
    /// Counts an auth request until the permit is dropped; none if [`MAX_IN_FLIGHT`] are in flight.
    pub fn begin(&self) -> Option<OwnedSemaphorePermit> {
        self.in_flight.clone().try_acquire_owned().ok()
    }

    /// How long the next auth request of this client has to wait.
    pub fn delay(&self, client: &ClaimedClient) -> Duration {
        let failures = self.failures().get(client).map_or(0, |failures| failures.left());
        (DELAY_STEP * failures.saturating_sub(FREE_FAILURES)).min(MAX_DELAY)
    }

    /// Counts a wrong password.
    pub fn failed(&self, client: ClaimedClient) {
        let mut failures = self.failures();
        if failures.len() >= MAX_CLIENTS && !failures.contains_key(&client) {
            failures.retain(|_, failures| failures.left() > 0);
            if failures.len() >= MAX_CLIENTS
                && let Some(oldest) = failures.iter().min_by_key(|(_, failures)| failures.since).map(|(client, _)| client.clone())
            {
                failures.remove(&oldest);
            }
        }
        let count = failures.get(&client).map_or(0, |failures| failures.left()).saturating_add(1);
        failures.insert(client, Failures { count, since: Instant::now() });
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<ClaimedClient, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repeated_failures_delay_their_client_and_no_other_and_are_forgotten() {
        let load = AuthLoad::default();
        let eve = ClaimedClient::new("203.0.113.7".parse().unwrap(), b"ada");
        for _ in 0..FREE_FAILURES {
            load.failed(eve.clone());
        }
        assert_eq!(load.delay(&eve), Duration::ZERO, "a phone with an old password is not slowed at once");
        load.failed(eve.clone());
        assert_eq!(load.delay(&eve), DELAY_STEP);
        for _ in 0..100 {
            load.failed(eve.clone());
        }
        assert_eq!(load.delay(&eve), MAX_DELAY);
        assert_eq!(load.delay(&ClaimedClient::new("203.0.113.8".parse().unwrap(), b"ada")), Duration::ZERO);
        assert_eq!(load.delay(&ClaimedClient::new("203.0.113.7".parse().unwrap(), b"bob")), Duration::ZERO);
        let household = |address: &str| ClaimedClient::new(address.parse().unwrap(), b"ada");
        assert_eq!(household("2001:db8::1"), household("2001:db8::2"), "one household has a /64");
        tokio::time::advance(FORGET_AFTER * 200).await;
        assert_eq!(load.delay(&eve), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_clients_is_bounded() {
        let load = AuthLoad::default();
        for number in 0..u32::try_from(MAX_CLIENTS).unwrap() + 100 {
            load.failed(ClaimedClient::new(std::net::Ipv4Addr::from(number).into(), b"ada"));
        }
        assert_eq!(load.failures().len(), MAX_CLIENTS);
    }

    #[test]
    fn auth_requests_in_flight_are_bounded() {
        let load = AuthLoad::default();
        let permits: Vec<_> = std::iter::from_fn(|| load.begin()).collect();
        assert_eq!(permits.len(), MAX_IN_FLIGHT);
        drop(permits);
        assert!(load.begin().is_some());
    }
}
