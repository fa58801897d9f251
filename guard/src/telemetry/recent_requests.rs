//! The requests of the last hour: their number in each minute, by decision, and guard's own share of their time. For the status page.
//!
//! Everything has a fixed size and is an atomic: counting allocates nothing and takes no lock. Each count carries the number of its period,
//! so that no task has to clear what is an hour old.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The number of minutes that are kept.
pub const MINUTES: usize = 60;
/// The number of periods of [`OWN_TIME_PERIOD`] that the times are kept for.
const OWN_TIME_PERIODS: usize = 6;
/// How long a period of times is, in minutes.
const OWN_TIME_PERIOD: u32 = 10;
/// The number of classes of times: four to each power of two, from 1 microsecond to 16 seconds.
const CLASSES: usize = 92;

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It passed.
    Passed,
    /// It was redirected to sign-in.
    SignIn,
    /// It was refused.
    Refused,
}

/// The number of requests in each of the last minutes, the oldest first. The last one is not over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHour {
    /// Requests that passed.
    pub passed: [u32; MINUTES],
    /// Requests that were redirected to sign-in.
    pub sign_in: [u32; MINUTES],
    /// Requests that were refused.
    pub refused: [u32; MINUTES],
}

/// guard's own share of the time of a request, within the last hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnTime {
    /// Half of the requests took at most this.
    pub p50: Duration,
    /// 99 of 100 requests took at most this.
    pub p99: Duration,
    /// The number of requests.
    pub requests: u64,
}

/// The counts. All workers share them.
pub struct RecentRequests {
    start: Instant,
    minutes: [[PeriodCount; MINUTES]; 3],
    own_times: [[PeriodCount; CLASSES]; OWN_TIME_PERIODS],
}

/// A count that belongs to one period: the number of the period in the upper half, the count in the lower.
struct PeriodCount(AtomicU64);

impl PeriodCount {
    const fn zero() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one, and forgets the count of an older period.
    fn add(&self, period: u32) {
        let stamp = u64::from(period) << 32;
        let next = |now: u64| Some(if now >> 32 == u64::from(period) { now + 1 } else { stamp + 1 });
        // The function always gives a value, so this cannot fail.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn get(&self, period: u32) -> u32 {
        let now = self.0.load(Ordering::Relaxed);
        if now >> 32 == u64::from(period) { u32::try_from(now & u64::from(u32::MAX)).unwrap_or(u32::MAX) } else { 0 }
    }
}

impl RecentRequests {
    /// Nothing yet. Requests from `start` on can be counted.
    pub fn since(start: Instant) -> Self {
        Self {
            start,
            minutes: [const { [const { PeriodCount::zero() }; MINUTES] }; 3],
            own_times: [const { [const { PeriodCount::zero() }; CLASSES] }; OWN_TIME_PERIODS],
        }
    }

    /// Counts a request that was decided at `at`.
    pub fn count(&self, decision: Decision, at: Instant) {
        let minute = self.minute(at);
        self.minutes[decision as usize][minute as usize % MINUTES].add(minute);
    }

    /// Records guard's own share of the time of a request.
    pub fn record_own_time(&self, time: Duration, at: Instant) {
        let period = self.period(at);
        self.own_times[period as usize % OWN_TIME_PERIODS][class_of(time)].add(period);
    }

    /// The counts of the hour before `now`.
    pub fn last_hour(&self, now: Instant) -> LastHour {
        let newest = self.minute(now);
        let counts = |decision: Decision| {
            std::array::from_fn(|place| {
                let age = u32::try_from(MINUTES - 1 - place).unwrap_or(0);
                let minute = newest.saturating_sub(age);
                if age >= newest { 0 } else { self.minutes[decision as usize][minute as usize % MINUTES].get(minute) }
            })
        };
        LastHour { passed: counts(Decision::Passed), sign_in: counts(Decision::SignIn), refused: counts(Decision::Refused) }
    }

    /// guard's own share of the time within the hour before `now`; none where there was no request.
    pub fn own_time(&self, now: Instant) -> Option<OwnTime> {
        let newest = self.period(now);
        let mut counts = [0_u64; CLASSES];
        for (place, period) in self.own_times.iter().enumerate() {
            // The youngest period that has this place.
            let place = u32::try_from(place).unwrap_or(0);
            let periods = u32::try_from(OWN_TIME_PERIODS).unwrap_or(1);
            let age = (newest % periods + periods - place) % periods;
            let Some(number) = newest.checked_sub(age) else { continue };
            for (count, cell) in counts.iter_mut().zip(period) {
                *count += u64::from(cell.get(number));
            }
        }
        let requests: u64 = counts.iter().sum();
        let quantile = |percent: u64| {
            let mut left = (requests * percent).div_ceil(100);
            let class = counts.iter().position(|count| {
                left = left.saturating_sub(*count);
                left == 0
            });
            upper_bound(class.unwrap_or(CLASSES - 1))
        };
        (requests > 0).then(|| OwnTime { p50: quantile(50), p99: quantile(99), requests })
    }

    /// The number of the period of times, from 1.
    fn period(&self, at: Instant) -> u32 {
        (self.minute(at) - 1) / OWN_TIME_PERIOD + 1
    }

    /// The number of the minute, from 1.
    fn minute(&self, at: Instant) -> u32 {
        u32::try_from(at.saturating_duration_since(self.start).as_secs() / 60).unwrap_or(u32::MAX - 1) + 1
    }
}

/// The class of a time: exact up to 7 microseconds, then four to each power of two.
fn class_of(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let class = match micros.checked_ilog2() {
        None | Some(0 | 1) => micros,
        Some(power) => u64::from(power - 1) * 4 + (micros >> (power - 2) & 3),
    };
    usize::try_from(class).unwrap_or(CLASSES).min(CLASSES - 1)
}

/// The time that no member of a class reaches.
fn upper_bound(class: usize) -> Duration {
    let class = u64::try_from(class).unwrap_or(0);
    Duration::from_micros(if class < 4 { class + 1 } else { (class % 4 + 5) << (class / 4 - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_request_counts_in_its_minute_and_is_forgotten_after_an_hour() {
        let start = Instant::now();
        let recent = RecentRequests::since(start);
        recent.count(Decision::Passed, start);
        recent.count(Decision::Passed, start + Duration::from_millis(59_999));
        recent.count(Decision::Refused, start + MINUTE);
        recent.count(Decision::SignIn, start + MINUTE * 59);
        let hour = recent.last_hour(start + MINUTE * 59);
        assert_eq!((hour.passed[0], hour.refused[1], hour.sign_in[59]), (2, 1, 1));
        let sum = |counts: [u32; MINUTES]| counts.iter().sum::<u32>();
        assert_eq!((sum(hour.passed), sum(hour.refused), sum(hour.sign_in)), (2, 1, 1));
        let later = recent.last_hour(start + MINUTE * 60);
        assert_eq!((sum(later.passed), later.refused[0], later.sign_in[58]), (0, 1, 1));
        recent.count(Decision::Passed, start + MINUTE * 60);
        assert_eq!(recent.last_hour(start + MINUTE * 60).passed[59], 1, "the place of the first minute is used again");
        assert_eq!(sum(recent.last_hour(start + MINUTE * 600).passed), 0);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let start = Instant::now();
        let recent = RecentRequests::since(start);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| recent.count(Decision::Passed, start + MINUTE)));
            }
        });
        assert_eq!(recent.last_hour(start + MINUTE).passed[59], 40_000);
    }

    #[test]
    fn a_quantile_is_at_most_a_quarter_above_the_time() {
        for micros in [0, 1, 3, 4, 7, 8, 9, 100, 1_000, 12_345, 1_000_000] {
            let (time, bound) = (Duration::from_micros(micros), upper_bound(class_of(Duration::from_micros(micros))));
            assert!(bound > time && bound <= time + time / 4 + Duration::from_micros(1), "{time:?} {bound:?}");
        }
        assert_eq!(class_of(Duration::MAX), CLASSES - 1);
    }

    #[test]
    fn the_times_of_the_last_hour_give_the_quantiles() {
        let start = Instant::now();
        let recent = RecentRequests::since(start);
        assert_eq!(recent.own_time(start), None);
        for _ in 0..98 {
            recent.record_own_time(Duration::from_micros(100), start);
        }
        recent.record_own_time(Duration::from_millis(10), start + MINUTE * 49);
        recent.record_own_time(Duration::from_millis(10), start + MINUTE * 49);
        let OwnTime { p50, p99, requests } = recent.own_time(start + MINUTE * 59).unwrap();
        assert_eq!(requests, 100);
        assert!(p50 >= Duration::from_micros(100) && p50 <= Duration::from_micros(125), "{p50:?}");
        assert!(p99 >= Duration::from_millis(10) && p99 <= Duration::from_micros(12_500), "{p99:?}");
        assert_eq!(recent.own_time(start + MINUTE * 69).map(|time| time.requests), Some(2), "the first ten minutes are over");
        assert_eq!(recent.own_time(start + MINUTE * 200), None);
    }
}
