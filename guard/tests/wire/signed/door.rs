//! A guard whose front door is another signer than Cloudflare Access.

use guard::config::FrontDoorArgs;
use testkit::TestEnvironment;
use testkit::signer::KeyServer;

/// An environment, and the header that carries the assertion.
pub(crate) struct SignedDoor {
    pub(crate) environment: TestEnvironment<KeyServer>,
    header: &'static str,
}

impl SignedDoor {
    /// A guard whose front door has these arguments; assertions come in `header`.
    pub(crate) async fn start(keys: KeyServer, header: &'static str, door: FrontDoorArgs) -> Self {
        Self { environment: TestEnvironment::signed(keys, door).await, header }
    }

    /// The status of a request with this assertion.
    pub(crate) async fn status(&self, assertion: &str) -> u16 {
        self.status_with(&format!("{}: {assertion}\r\n", self.header)).await
    }

    /// The status of a request with these whole lines.
    pub(crate) async fn status_with(&self, lines: &str) -> u16 {
        self.environment.get("/api/server/ping", lines).await.status
    }

    /// Tries each bad assertion, and checks that no connection to Immich was opened.
    pub(crate) async fn refuses(&self, bad: &[(String, String)]) {
        let dials = self.environment.immich.dials();
        for (name, assertion) in bad {
            assert_eq!(self.status(assertion).await, 401, "{}: {name}", self.header);
        }
        assert!(bad.len() >= 20, "only {} bad assertions", bad.len());
        assert_eq!(self.environment.immich.dials(), dials, "Immich was dialled");
    }
}

/// An argument that is given.
#[allow(clippy::unnecessary_wraps, reason = "arguments are optional text")]
pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}
