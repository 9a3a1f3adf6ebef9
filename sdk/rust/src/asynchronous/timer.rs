//! Waiting for a time, on the executor's thread.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::executor::{self, TimerKey};

/// Waits, on the thread of the library's asynchronous functions.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep {
        // A time that the clock cannot tell is a day: longer than any call may take.
        deadline: Instant::now()
            .checked_add(duration)
            .unwrap_or_else(|| Instant::now() + Duration::from_hours(24)),
        key: None,
    }
}

/// What a future gives, or `None` if it has not come to its end after `duration`; it is dropped then.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut limit = pin!(sleep(duration));
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        limit.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// The future of [`sleep`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    key: Option<TimerKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if Instant::now() >= this.deadline {
            return Poll::Ready(());
        }
        match executor::set_timer(this.deadline, this.key, context.waker()) {
            Some(key) => {
                this.key = Some(key);
                Poll::Pending
            }
            // No thread could be had that would wake it; better too early than never.
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            executor::clear_timer(key);
        }
    }
}
