//! Prove, and prove again until it holds or the time is over.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

use super::Code;
use super::config::Gate;
use super::probe::Prober;
use super::prove;
use super::report::{Reporter, Verdict};

/// The first pause between two proofs; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// An unchanged state is said again after this long.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Lets SIGTERM and SIGINT end this process while it waits. As PID 1 of a container it would not notice them otherwise, and deleting a
/// pod would take its whole grace. What the process becomes afterwards starts with the signals' defaults (execve(2)).
fn end_on_signals() {
    let always = Arc::new(AtomicBool::new(true));
    for signal in [SIGTERM, SIGINT] {
        // Without a handler the wait is merely as deaf as PID 1 is by nature.
        let _ = register_conditional_shutdown(signal, 128 + signal, always.clone());
    }
}

/// The first proof that holds, or the last that did not when [`Gate::wait`] is over. Changes are said on the way; the end is the caller's
/// to say.
pub fn until_proved(gate: &Gate, reporter: &mut Reporter) -> Verdict {
    end_on_signals();
    let end = Instant::now() + gate.wait;
    let mut prober = Prober::default();
    let mut pause = FIRST_PAUSE;
    let mut said: Option<(Option<Code>, Instant)> = None;
    loop {
        let verdict = prove(gate, &mut prober, reporter, true);
        let left = end.saturating_duration_since(Instant::now());
        if verdict.failure.is_none() || left.is_zero() {
            return verdict;
        }
        if said.is_none_or(|(code, at)| code != verdict.code() || at.elapsed() >= SAY_AGAIN) {
            reporter.say(&verdict);
            said = Some((verdict.code(), Instant::now()));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(MAX_PAUSE);
    }
}
