//! Checks again and again until a check passes or the time is over.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

use super::check::{check, read_table};
use super::config::NasConfig;
use super::failure::Code;
use super::probe::Prober;
use super::report::{CheckResult, Reporter};

/// The first pause between two checks; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// An unchanged state is reported again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Lets SIGTERM and SIGINT end this process while it waits. As PID 1 of a container it would not notice them otherwise, and deleting a
/// pod would take the whole grace period. What the process becomes afterwards starts with the signals' defaults (execve(2)).
fn end_on_signals() {
    let always = Arc::new(AtomicBool::new(true));
    for signal in [SIGTERM, SIGINT] {
        // Without a handler the wait only ignores the signals, as any PID 1 does.
        let _ = register_conditional_shutdown(signal, 128 + signal, always.clone());
    }
}

/// Returns the first check that passes, or the last that failed when [`NasConfig::wait`] is over. Reports each change of the result; the
/// caller reports the last one.
pub fn until_ok(config: &NasConfig, reporter: &mut Reporter) -> CheckResult {
    until(config, reporter, |_| false)
}

/// The same for a container. A volume that is bound already, and that follows nobody, is what it is as long as the container lives: what
/// is definitely wrong with it is over with the next container only, so this one does not wait. Its end is also what `kubectl describe`
/// shows: a container that waits shows nothing.
pub fn until_ok_or_final(config: &NasConfig, reporter: &mut Reporter) -> CheckResult {
    // Before the first check: what is mounted there later was waited for.
    let is_bound = read_table(config).is_ok_and(|(table, mount)| table.at(&config.path).is_some() && !mount.receives_mounts());
    until(config, reporter, |result| is_bound && result.code().is_some_and(Code::is_definite))
}

fn until(config: &NasConfig, reporter: &mut Reporter, is_final: impl Fn(&CheckResult) -> bool) -> CheckResult {
    end_on_signals();
    let end = Instant::now() + config.wait;
    let mut prober = Prober::default();
    let mut pause = FIRST_PAUSE;
    let mut said: Option<(Option<Code>, Instant)> = None;
    loop {
        let result = check(config, &mut prober, reporter, true);
        let left = end.saturating_duration_since(Instant::now());
        if result.failure.is_none() || left.is_zero() || is_final(&result) {
            return result;
        }
        if said.is_none_or(|(code, at)| code != result.code() || at.elapsed() >= SAY_AGAIN) {
            reporter.report(&result);
            said = Some((result.code(), Instant::now()));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(MAX_PAUSE);
    }
}
