//! The refusal pages, each made by the request that gets it.

use serde_json::json;
use testkit::browser::Browser;
use testkit::{Immich, Issuer, TestEnvironment, outpost};

use super::judge::{self, browser, page, visit};

/// A home where each refusal can be had.
pub(super) async fn home() -> TestEnvironment<Issuer> {
    TestEnvironment::with(|args| {
        args.door.allow_email = Some("ada@example.com".to_owned());
        args.max_body = Some("5B".to_owned());
        args.lan_url = Some("http://nas.example.com:30283".to_owned());
        args.uploads.large_uploads = Some("on".to_owned());
    })
    .await
}

/// A browser of this person, or of a stranger, in a language.
pub(super) async fn person(home: &TestEnvironment<Issuer>, email: Option<&str>, language: &str) -> Browser {
    let mut headers = json!({ "Accept-Language": language });
    if let Some(email) = email {
        headers["Cf-Access-Jwt-Assertion"] = home.front_door.token_for(email).into();
    }
    browser(&headers).await
}

/// Sends a form that is larger than the limit, as a page of Immich could.
pub(super) async fn send_too_much(home: &TestEnvironment<Issuer>, browser: &mut Browser, wanted: &str) {
    browser.go(&format!("http://{}/page", home.guard.address)).await;
    browser.wait_for("Immich's page", "document.title === 'Photos'").await;
    let form = "const form = document.createElement('form'); form.method = 'post'; form.action = '/api/assets'; \
                form.innerHTML = '<input name=a value=123456789>'; document.body.append(form); form.submit()";
    browser.eval(form).await;
    browser.wait_for(wanted, &format!("document.querySelector('h1')?.innerText === {}", json!(wanted))).await;
}

pub(super) async fn each_refusal_page_in_english() {
    let home = home().await;
    let url = |path: &str| format!("http://{}{path}", home.guard.address);
    let mut stranger = person(&home, None, "en").await;
    visit(&mut stranger, "refusal-401", &url("/photos?key=1"), "Please sign in").await;
    let mut eve = person(&home, Some("eve.with.a.rather.long.address@family.example.com"), "en").await;
    visit(&mut eve, "refusal-403", &url("/"), "eve.with.a.rather.long.address@family.example.com").await;
    let mut ada = person(&home, Some("ada@example.com"), "en").await;
    visit(&mut ada, "refusal-502", &url("/api/die-before-head"), "Your photos are safe").await;
    send_too_much(&home, &mut ada, "This file is too large").await;
    page(&mut ada, "refusal-413", true).await;
    let links = ada.eval("[...document.querySelectorAll('a')].map((link) => link.getAttribute('href')).join(' ')").await;
    assert_eq!(links, "/.guard/upload http://nas.example.com:30283");

    let elsewhere = TestEnvironment::with(|args| args.external_url = Some("https://photos.example.com".to_owned())).await;
    let url = format!("http://{}/", elsewhere.guard.address);
    visit(&mut stranger, "refusal-421", &url, "There are no photos at this address").await;

    // An auth server that is not there.
    let shut = TestEnvironment::forward_auth_not_ready(outpost::Config::default(), |args| {
        args.auth.auth_url = Some("http://127.0.0.1:1".to_owned());
    })
    .await;
    let mut ada =
        judge::browser_that_knows(&[("photos.example.com", shut.guard.address)], &json!({"Accept-Language": "en"})).await;
    visit(&mut ada, "refusal-503", "http://photos.example.com/photos", "Signing in does not work at the moment").await;
}

pub(super) async fn each_refusal_page_in_every_other_language() {
    let home = home().await;
    let url = |path: &str| format!("http://{}{path}", home.guard.address);
    for (language, sign_in, safe, too_large) in [
        ("de-AT,de;q=0.9,en;q=0.5", "Bitte melde dich an", "Deine Fotos sind sicher", "Diese Datei ist zu groß"),
        ("fr", "Veuillez vous connecter", "Vos photos sont en sécurité", "Ce fichier est trop volumineux"),
        ("es-419", "Inicia sesión, por favor", "Tus fotos están a salvo", "Este archivo es demasiado grande"),
        ("el", "Παρακαλούμε συνδεθείτε", "Οι φωτογραφίες σας είναι ασφαλείς", "Αυτό το αρχείο είναι πολύ μεγάλο"),
        ("zh-CN,zh;q=0.9", "请先登录", "您的照片是安全的", "文件太大"),
    ] {
        let tag = language.get(..2).unwrap();
        let mut stranger = person(&home, None, language).await;
        visit(&mut stranger, &format!("refusal-401-{tag}"), &url("/"), sign_in).await;
        let mut eve = person(&home, Some("eve@example.com"), language).await;
        visit(&mut eve, &format!("refusal-403-{tag}"), &url("/"), "eve@example.com").await;
        let mut ada = person(&home, Some("ada@example.com"), language).await;
        visit(&mut ada, &format!("refusal-502-{tag}"), &url("/api/die-before-head"), safe).await;
        send_too_much(&home, &mut ada, too_large).await;
        page(&mut ada, &format!("refusal-413-{tag}"), true).await;
    }
}

/// The visitor does nothing: the page looks by itself, and is gone when Immich is there again.
pub(super) async fn the_page_loads_the_photos_when_immich_is_back() {
    let immich = Immich::start().await;
    let address = immich.addr();
    immich.stop().await;
    let mut home = TestEnvironment::with(|args| args.upstream = Some(format!("http://{address}"))).await;
    let mut ada = person(&home, Some("ada@example.com"), "en").await;
    ada.go(&format!("http://{}/page", home.guard.address)).await;
    ada.wait_for("the refusal", "document.querySelector('h1')?.innerText === 'Your photos are safe'").await;
    home.immich = Immich::start_with(testkit::immich::Config { listen: address, ..testkit::immich::Config::default() }).await;
    ada.wait_for("Immich's page", "document.title === 'Photos'").await;
}
