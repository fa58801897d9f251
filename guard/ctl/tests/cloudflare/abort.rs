//! An aborted run, at each of its calls: nothing is ever open, and the next run finishes.

use testkit::cloudflare_api::Fault;

use super::home::{HOST, Home};

/// The calls of an undisturbed run, and the account after it.
async fn undisturbed() -> (usize, serde_json::Value) {
    let home = Home::start().await;
    home.apply().await.expect(0);
    (home.api.calls().len(), home.picture())
}

async fn finishes(home: &Home, wanted: &serde_json::Value, when: &str) {
    assert_eq!(home.api.open_moments(), Vec::<String>::new(), "{when}");
    home.api.heal();
    let run = home.apply().await;
    assert_eq!(run.code, Some(0), "{when}: {}", run.said());
    assert_eq!(home.picture(), *wanted, "{when}");
    assert_eq!(home.api.open_moments(), Vec::<String>::new(), "{when}");
    assert_eq!(home.api.reachable(), [HOST], "{when}");
    let phone = std::fs::read_to_string(home.file("phone-ada")).unwrap_or_else(|_| panic!("{when}: no secret of the phone"));
    assert!(phone.contains("CF-Access-Client-Secret: cfast_"), "{when}");
    assert!(home.file("tunnel-token").exists() && !home.file("phone-ada.new").exists(), "{when}");
    home.plan().await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_loses_cloudflare_at_any_call_leaves_nothing_open_and_the_next_one_finishes() {
    let (calls, wanted) = undisturbed().await;
    assert!(calls > 30, "{calls}");
    for number in 1..=calls {
        for is_done in [false, true] {
            let home = Home::start().await;
            home.api.plant(Fault::close("", "", is_done).from_call(number).times(1));
            home.api.plant(Fault::close("", "", false).from_call(number));
            let run = home.apply().await;
            let when = format!("call {number} of {calls}, done: {is_done}");
            assert_ne!(run.code, Some(0), "{when}: {}", run.said());
            finishes(&home, &wanted, &when).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_at_any_write_leaves_nothing_open_and_the_next_one_finishes() {
    let (calls, wanted) = undisturbed().await;
    let home = Home::start().await;
    home.apply().await.expect(0);
    let writes: Vec<_> =
        home.api.calls().iter().enumerate().filter(|(_, call)| call.is_write()).map(|(index, _)| index + 1).collect();
    assert_eq!(writes.len(), 8, "of {calls} calls");
    for number in writes {
        for is_done in [false, true] {
            let home = Home::start().await;
            home.api.plant(Fault::hold("", "", is_done).from_call(number));
            let mut child = home
                .command(&["apply", "--yes"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            home.api.wait_for_held().await;
            child.kill().unwrap();
            child.wait().unwrap();
            finishes(&home, &wanted, &format!("killed at call {number}, done: {is_done}")).await;
        }
    }
}
