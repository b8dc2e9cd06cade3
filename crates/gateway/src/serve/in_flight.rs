//! How many requests a connection has in flight, and when it has had none for a while.

use std::time::Duration;

use tokio::sync::watch;

/// The count of one connection.
#[derive(Debug)]
pub(super) struct InFlight(watch::Sender<usize>);

impl InFlight {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Counts one request, until what is given is dropped.
    pub(super) fn one(&self) -> One {
        self.0.send_modify(|count| *count += 1);
        One(self.0.clone())
    }

    /// Comes back when there is one.
    pub(super) async fn some(&self) {
        // The sender is `self`, so there is no error.
        let _ = self.0.subscribe().wait_for(|count| *count > 0).await;
    }

    #[cfg(test)]
    pub(super) fn is_none(&self) -> bool {
        *self.0.borrow() == 0
    }

    /// Comes back once there was no request for this long.
    pub(super) async fn none_for(&self, limit: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is `self`, so there is no error.
            let _ = count.wait_for(|count| *count == 0).await;
            if tokio::time::timeout(limit, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// One request in flight.
#[derive(Debug)]
pub(super) struct One(watch::Sender<usize>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
