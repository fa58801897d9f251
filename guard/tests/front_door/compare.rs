//! Every case through both proxies, held side by side.

use crate::caddy::Caddy;
use crate::cases::CASES;
use crate::stage::Stage;

pub(crate) async fn guard_is_never_laxer_than_caddy() {
    let mut stage = Stage::new().await;
    let caddy = Caddy::start("photos.example.com", &stage.outpost.url(), &stage.immich.url());
    for case in CASES {
        let facts = stage.play(caddy.address, case).await;
        println!("## {}", case.name);
        for (name, value) in facts {
            println!("   {name}: {value}");
        }
    }
}
