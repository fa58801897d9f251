//! Client, edge, connector, guard, Immich: the whole way of a request, with a real cloudflared on the files that we ship where there
//! is one, and with a stand-in for it where there is Go.
//!
//! `CLOUDFLARED_BIN` names the real one, else it is looked for on PATH. What cannot run here is skipped, and counted so.
//! As root each story runs in a pod of its own ([`testkit::pod`]), with the shipped names, ports and paths.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod bodies;
mod configuration;
mod connector;
mod idle;
mod leaving;
mod requests;
mod sandbox;
mod shipped;
mod sockets;

use std::process::ExitCode;

use connector::{Connector, Which};
use sandbox::Sandbox;
use testkit::nas::Trials;
use testkit::process::{OriginProcess, origin_variables};
use testkit::{Edge, Immich, Issuer, RawClient, TestEnvironment, pod};

/// Lists stories as tests with one of the connectors.
macro_rules! stories {
    ($which:expr; $($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), (|| story($which, $module::$name)) as fn())),*]
    };
}

/// The stories that hold for each connector.
macro_rules! common {
    ($which:expr) => {
        stories![$which;
            requests::without_a_proof_it_is_401,
            requests::with_a_proof_it_is_200_and_immich_sees_the_client,
            requests::each_line_of_a_stream_arrives_at_once,
            requests::a_client_that_goes_leaves_immich_without_a_whole_asset,
            bodies::declared_uploads_over_the_limit_get_their_413_each_time,
            bodies::streamed_uploads_over_the_limit_get_their_413_each_time,
            bodies::ninety_megabytes_go_up_byte_for_byte,
            bodies::ninety_megabytes_come_down_byte_for_byte,
            sockets::a_websocket_echoes_until_its_token_expires,
            sockets::a_websocket_without_a_proof_is_401,
            leaving::a_connector_that_leaves_finishes_what_is_under_way,
            leaving::no_request_is_lost_when_a_connector_is_replaced,
            leaving::a_guard_that_drains_loses_nothing_and_its_successor_is_found,
        ]
    };
}

type Tests = &'static [(&'static str, fn())];

const REAL: Tests = common![Which::Real];
const REAL_VALIDATES: Tests = stories![Which::Real; configuration::the_shipped_file_is_valid];
const REAL_IN_POD: Tests = stories![Which::Real; configuration::the_shipped_file_is_in_force];
const STAND_IN: Tests = common![Which::StandIn];
const REAL_SLOW: Tests = stories![Which::Real; idle::connections_are_used_again_after_a_minute];
const STAND_IN_SLOW: Tests = stories![Which::StandIn; idle::connections_are_used_again_after_a_minute];

fn main() -> ExitCode {
    let (no_real, no_stand_in, no_pod) = (Which::Real.why_not(), Which::StandIn.why_not(), pod::why_not());
    if let Some(reason) = &no_pod {
        eprintln!("not in pods ({reason}): a copy of config.yaml names another origin, and ports and paths differ");
    }
    Trials::anywhere()
        .add_unless(no_real.as_deref(), "cloudflared", REAL)
        .add_unless(no_real.as_deref(), "cloudflared", REAL_VALIDATES)
        .add_unless(no_real.as_deref().or(no_pod.as_deref()), "cloudflared", REAL_IN_POD)
        .add_slow_unless(no_real.as_deref(), "cloudflared", REAL_SLOW)
        .add_unless(no_stand_in.as_deref(), "stand_in", STAND_IN)
        .add_slow_unless(no_stand_in.as_deref(), "stand_in", STAND_IN_SLOW)
        .run()
}

/// Runs a story on a thread, in a place and in a runtime of its own.
fn story<F: Future<Output = ()>>(which: Which, story: impl FnOnce(StorySetup) -> F + Send + 'static) {
    let ran = std::thread::spawn(move || {
        let setup = StorySetup { which, sandbox: Sandbox::enter() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(story(setup));
    });
    if let Err(panic) = ran.join() {
        std::panic::resume_unwind(panic);
    }
}

/// What a story starts from.
struct StorySetup {
    which: Which,
    sandbox: Sandbox,
}

/// Everything between a client and Immich.
struct Chain {
    setup: StorySetup,
    environment: TestEnvironment<Issuer, OriginProcess>,
    edge: Edge,
    connector: Connector,
}

impl Chain {
    /// All of it, connected.
    async fn start(setup: StorySetup) -> Self {
        Self::with(setup, &[]).await
    }

    /// The same, with more variables for the guard.
    async fn with(setup: StorySetup, more: &[(&'static str, &str)]) -> Self {
        let (front_door, immich) = (Issuer::start().await, Immich::start().await);
        let guard = open(&setup, &front_door, &immich, more).await;
        let edge = Edge::start().await;
        setup.sandbox.prepare(guard.address, edge.authority());
        let connector = Connector::start(setup.which, &setup.sandbox, &edge, 0);
        edge.wait_for_tunnels(1).await;
        Self { setup, environment: TestEnvironment { front_door, immich, guard }, edge, connector }
    }

    /// A client's connection to the edge.
    async fn connect(&self) -> RawClient {
        RawClient::connect(self.edge.front()).await
    }

    /// A request of a person who is signed in, without the empty line: `extra` are whole lines.
    fn head(&self, request_line: &str, extra: &str) -> String {
        head(&self.environment.front_door, request_line, extra)
    }
}

fn head(issuer: &Issuer, request_line: &str, extra: &str) -> String {
    let token = issuer.token_for("ada@example.com");
    format!("{request_line} HTTP/1.1\r\nHost: photos.example.com\r\nCf-Access-Jwt-Assertion: {token}\r\n{extra}")
}

/// The real binary of guard, on the ports that the shipped file names.
async fn open(setup: &StorySetup, issuer: &Issuer, immich: &Immich, more: &[(&'static str, &str)]) -> OriginProcess {
    let mut variables = origin_variables(issuer, &immich.url());
    setup.sandbox.listen(&mut variables);
    variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    OriginProcess::start(env!("CARGO_BIN_EXE_guard"), &variables).await
}
