//! `pre`: a long poll. `GET` waits for news of its path, `POST` brings some to all who wait. An
//! asynchronous function: a thousand readers wait without a thread of the gateway.
//!
//! Readers and news meet within one worker, so this is for gateways with `workers = 1`.
//!
//! Invariant: a reader is on the board as long as its future lives; when its client leaves, the gateway
//! drops the future and the reader is gone.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gantry_plugin::{Answer, AsyncRequestCall, AsyncRequestFunction, Failure, Outcome, timeout};
use serde_json::Value;

/// Brings readers and news together.
pub(crate) struct WaitForNews {
    board: Arc<Board>,
    /// After which a reader gets 204; the gateway's deadline alone without it.
    patience: Option<Duration>,
}

impl AsyncRequestFunction for WaitForNews {
    fn start(config: &str) -> Result<Self, String> {
        let config: Value =
            serde_json::from_str(config).map_err(|error| format!("config_data: {error}"))?;
        let patience = match &config["news_patience_ms"] {
            Value::Null => None,
            patience => Some(
                patience
                    .as_u64()
                    .ok_or("config_data.news_patience_ms: expected milliseconds")?,
            ),
        };
        Ok(Self {
            board: Arc::default(),
            patience: patience.map(Duration::from_millis),
        })
    }

    async fn call(&self, call: &mut AsyncRequestCall) -> Result<Outcome, Failure> {
        let path = call.path().to_owned();
        let answer = match call.method() {
            "GET" => {
                let news = Reader::new(&self.board, path);
                let news = match self.patience {
                    Some(patience) => timeout(patience, news).await,
                    None => Some(news.await),
                };
                news.map_or(Answer::new(204), |news| Answer::new(200).body(news))
            }
            "POST" => {
                let news = call.body().await?.to_vec();
                let readers = self.board.post(&path, &news);
                Answer::json(202, format!("{{\"readers\":{readers}}}"))
            }
            _ => return Ok(Outcome::Continue),
        };
        Ok(Outcome::Answer(answer))
    }
}

/// Who waits for what.
#[derive(Default)]
struct Board(Mutex<Slips>);

#[derive(Default)]
struct Slips {
    next: u64,
    waiting: HashMap<u64, Slip>,
}

struct Slip {
    path: String,
    news: Option<Vec<u8>>,
    waker: Option<Waker>,
}

impl Board {
    /// Gives news to all who wait for them, and says to how many.
    fn post(&self, path: &str, news: &[u8]) -> usize {
        let mut wakers = Vec::new();
        let mut readers = 0;
        for slip in self.lock().waiting.values_mut() {
            if slip.path == path && slip.news.is_none() {
                slip.news = Some(news.to_vec());
                wakers.extend(slip.waker.take());
                readers += 1;
            }
        }
        wakers.into_iter().for_each(Waker::wake);
        readers
    }

    fn lock(&self) -> MutexGuard<'_, Slips> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for news.
struct Reader {
    board: Arc<Board>,
    number: u64,
}

impl Reader {
    fn new(board: &Arc<Board>, path: String) -> Self {
        let mut slips = board.lock();
        slips.next += 1;
        let number = slips.next;
        let slip = Slip {
            path,
            news: None,
            waker: None,
        };
        slips.waiting.insert(number, slip);
        Self {
            board: Arc::clone(board),
            number,
        }
    }
}

impl Future for Reader {
    type Output = Vec<u8>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<u8>> {
        let mut slips = self.board.lock();
        let Some(slip) = slips.waiting.get_mut(&self.number) else {
            return Poll::Pending;
        };
        slip.waker = Some(context.waker().clone());
        slip.news.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.board.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use gantry_plugin::Hook;
    use gantry_plugin::testing::TestCall;

    use super::*;

    fn post(function: &WaitForNews, path: &str, news: &str) -> String {
        let call = TestCall::new(Hook::Pre)
            .method("POST")
            .path(path)
            .body(news);
        let done = call.run_async(function);
        let (status, body) = done.answer().unwrap();
        assert_eq!(status, 202);
        body.to_owned()
    }

    #[test]
    fn reader_gets_the_news_of_its_path() {
        let function = WaitForNews::start("{}").unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let done = TestCall::new(Hook::Pre).path("/a").run_async(&function);
                done.answer().unwrap().1.to_owned()
            });
            while function.board.lock().waiting.is_empty() {
                thread::yield_now();
            }
            assert_eq!(post(&function, "/b", "other"), r#"{"readers":0}"#);
            assert_eq!(post(&function, "/a", "extra"), r#"{"readers":1}"#);
            assert_eq!(reader.join().unwrap(), "extra");
        });
        assert!(function.board.lock().waiting.is_empty());
    }

    #[test]
    fn reader_that_leaves_or_loses_patience_is_forgotten() {
        let function = WaitForNews::start("{}").unwrap();
        let left = TestCall::new(Hook::Pre)
            .client_leaves()
            .run_async(&function);
        assert_eq!(left.failure(), Some("cancelled"));
        assert_eq!(post(&function, "/", "late"), r#"{"readers":0}"#);
        let function = WaitForNews::start(r#"{"news_patience_ms": 1}"#).unwrap();
        let none = TestCall::new(Hook::Pre).run_async(&function);
        assert_eq!(none.answer(), Some((204, "")));
        assert!(WaitForNews::start(r#"{"news_patience_ms": "1"}"#).is_err());
    }
}
