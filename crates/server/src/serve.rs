//! The running server: the application, its tasks, its two listeners, and an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use vouchsafe_issuer::AcceptedRollback;

use crate::app::{App, StartError, check_lifetimes};
use crate::config::Config;
use crate::http::accept;
use crate::machine::real_machine;
use crate::state::OnRollback;

/// How long the last heartbeat may hold up the end.
const LAST_BEAT: Duration = Duration::from_secs(2);

/// Both listeners, bound.
pub(crate) struct Listeners {
    pub(crate) public: TcpListener,
    pub(crate) management: TcpListener,
}

impl Listeners {
    pub(crate) async fn bind(public: SocketAddr, management: SocketAddr) -> Result<Self, StartError> {
        let bind = |address: SocketAddr| async move {
            TcpListener::bind(address)
                .await
                .map_err(StartError::io(format!("cannot listen on {address}")))
        };
        Ok(Self {
            public: bind(public).await?,
            management: bind(management).await?,
        })
    }
}

/// A server that is opened and bound, and accepts nothing yet.
pub struct Server {
    app: App,
    listeners: Listeners,
}

impl Server {
    /// Opens the server that the configuration describes; says what accepting a rollback came to.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(
        config: Config,
        on_rollback: &OnRollback,
    ) -> Result<(Self, Option<AcceptedRollback>), StartError> {
        check_lifetimes(&config)?;
        let listeners = Listeners::bind(config.server.listen, config.server.management_listen).await?;
        let (app, accepted) = App::open_on(config, real_machine(), on_rollback).await?;
        Ok((Self { app, listeners }, accepted))
    }

    /// Serves until SIGTERM or SIGINT, and then to the end of what it accepted.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn run(self) -> Result<(), StartError> {
        let config = self.app.config();
        tracing::info!(
            event = "ready",
            issuer = config.issuer.as_str(),
            listen = %config.server.listen,
            management_listen = %config.server.management_listen
        );
        until_told(self.app, self.listeners).await
    }
}

/// Serves an opened application until SIGTERM or SIGINT.
pub(crate) async fn until_told(app: App, listeners: Listeners) -> Result<(), StartError> {
    let stop = told_to_stop()?;
    let (down, shutdown) = watch::channel(false);
    let tls = tls_of(app.config())?;
    app.start_tasks(&shutdown);
    let public = accept::serve(listeners.public, tls, app.public()?, shutdown.clone());
    let management = accept::serve(listeners.management, None, app.management(), shutdown.clone());
    let (public, management) = (tokio::spawn(public), tokio::spawn(management));
    stop.await;
    tracing::info!(event = "stopping");
    // Every receiver is gone only when everything has ended already.
    let _ = down.send(true);
    let _ = tokio::join!(public, management);
    // What was committed since the last beat is known outside too, unless the database is away.
    let _ = tokio::time::timeout(LAST_BEAT, app.heartbeat()).await;
    app.issuer().store().close().await;
    Ok(())
}

fn tls_of(config: &Config) -> Result<Option<TlsAcceptor>, StartError> {
    match (&config.server.tls_cert_file, &config.server.tls_key_file) {
        (Some(certificates), Some(key)) => {
            let tls = crate::http::tls::load(certificates, key);
            let tls = tls.map_err(|error| StartError::Refused(format!("TLS cannot be used: {error}")))?;
            Ok(Some(TlsAcceptor::from(tls)))
        }
        _ => Ok(None),
    }
}

fn told_to_stop() -> Result<impl Future<Output = ()>, StartError> {
    let listen = |kind| signal(kind).map_err(StartError::io("cannot listen for signals"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
