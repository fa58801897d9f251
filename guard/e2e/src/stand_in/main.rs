//! The programs in the images of the node for which there is no real one here: `stand-in immich`, `stand-in machine-learning`,
//! `stand-in outpost`, `stand-in public-proxy`.

mod immich;
mod machine_learning;
mod outpost;
mod public_proxy;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::{Result, bail};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// An answer of these programs.
type Answer = Response<Full<Bytes>>;

#[tokio::main]
async fn main() -> ExitCode {
    let program = std::env::args().nth(1).unwrap_or_default();
    // As process 1 of a container it has no default handler for SIGTERM.
    let ended = async { signal(SignalKind::terminate())?.recv().await.map_or(Ok(()), |()| Ok(())) };
    let outcome: Result<()> = tokio::select! {
        outcome = run(&program) => outcome,
        outcome = ended => outcome.map_err(|error: std::io::Error| error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stand-in {program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(program: &str) -> Result<()> {
    match program {
        "immich" => immich::run().await,
        "machine-learning" => machine_learning::run().await,
        "outpost" => outpost::run().await,
        "public-proxy" => public_proxy::run().await,
        other => bail!("found the program {other:?}, wanted immich, machine-learning, outpost or public-proxy"),
    }
}

/// Serves HTTP/1.1 on this port of every address, with upgrades.
async fn serve<F>(port: u16, answer: fn(Request<Incoming>) -> F) -> Result<()>
where
    F: Future<Output = Result<Answer>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service_fn(move |request| async move {
            answer(request).await.or_else(|error| {
                eprintln!("{error:#}");
                Ok::<_, std::convert::Infallible>(said(StatusCode::INTERNAL_SERVER_ERROR, "{}"))
            })
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A client may close its connection at any time.
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
    }
}

fn said(status: StatusCode, json: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(json.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    answer
}
