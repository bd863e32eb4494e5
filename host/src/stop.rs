//! The word that it is time to stop, to everything that serves.
//!
//! Promises: said once, heard by all, also by those who listen only later; a speaker that is gone
//! means the same. Does not say what to do about it.

use tokio::sync::watch;

/// Says it.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// Hears it.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

/// The two ends.
pub fn stop() -> (Stop, Stopping) {
    let (speaker, listener) = watch::channel(false);
    (Stop(speaker), Stopping(listener))
}

impl Stop {
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Returns when it is time. Can be given up and called again.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
