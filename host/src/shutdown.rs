//! The signal that everything that serves must stop.
//!
//! Promises: one signal reaches all listeners, also those that begin to listen later; a sender that
//! is gone counts as the signal. Does not know what a listener does about it.

use tokio::sync::watch;

/// Sends the signal.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<bool>);

/// Receives the signal.
#[derive(Clone, Debug)]
pub struct ShutdownSignal(watch::Receiver<bool>);

/// The two ends.
pub fn shutdown() -> (Shutdown, ShutdownSignal) {
    let (sender, receiver) = watch::channel(false);
    (Shutdown(sender), ShutdownSignal(receiver))
}

impl Shutdown {
    /// Tells every listener to stop.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl ShutdownSignal {
    /// Returns when the signal was sent. May be cancelled and called again.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
