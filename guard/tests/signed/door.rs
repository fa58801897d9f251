//! A home behind a signer, and one way to knock.

use guard::config::{FrontDoorArgs, OriginArgs};
use guard::origin::start::OriginServer;
use testkit::home::{open, process_args};
use testkit::signer::KeyServer;
use testkit::{Immich, RawClient};

/// An Immich behind a guard, and the server of the signer's keys.
pub(crate) struct House {
    pub(crate) keys: KeyServer,
    pub(crate) immich: Immich,
    pub(crate) door: OriginServer,
    header: &'static str,
}

impl House {
    /// A guard whose front door has these arguments; assertions come in `header`.
    pub(crate) async fn behind(keys: KeyServer, header: &'static str, door: FrontDoorArgs) -> Self {
        let immich = Immich::start().await;
        let args = OriginArgs {
            listen: Some("127.0.0.1:0".to_owned()),
            upstream: Some(immich.url()),
            door,
            process: process_args(),
            ..OriginArgs::default()
        };
        let door = open(&args);
        door.trust_source.ready().await;
        Self { keys, immich, door, header }
    }

    /// The status of a request with this assertion.
    pub(crate) async fn knock(&self, assertion: &str) -> u16 {
        self.knock_with(&format!("{}: {assertion}\r\n", self.header)).await
    }

    /// The status of a request with these whole lines.
    pub(crate) async fn knock_with(&self, lines: &str) -> u16 {
        let mut client = RawClient::connect(self.door.address).await;
        client.send(format!("GET /api/server/ping HTTP/1.1\r\nHost: photos.example.com\r\n{lines}\r\n")).await;
        client.read_response().await.status
    }

    /// Tries each bad assertion, and that Immich heard nothing of it.
    pub(crate) async fn refuses(&self, bad: &[(String, String)]) {
        let dials = self.immich.dials();
        for (name, assertion) in bad {
            assert_eq!(self.knock(assertion).await, 401, "{}: {name}", self.header);
        }
        assert!(bad.len() >= 20, "only {} bad assertions", bad.len());
        assert_eq!(self.immich.dials(), dials, "Immich was dialled");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.door.stop();
    }
}

/// An argument that is given.
#[allow(clippy::unnecessary_wraps, reason = "arguments are optional text")]
pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}
