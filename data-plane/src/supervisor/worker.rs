//! A worker process as its slot holds it: the child, its control socket, and what it was told.
//!
//! Invariant: orders go out in the order of generations, one `Apply` at a time, each as the difference
//! from what the worker has said it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::culprit::Meanings;
use super::exclusion::Exclusions;
use super::generation::Effective;
use super::output::{self, Printed, Rate};
use super::pool::Desired;
use super::replacement::{Burden, Loaded};
use super::role;
use super::slot::Slot;
use super::stored::StoredView;
use super::telemetry::Directory;
use crate::frames::{FrameReader, FrameWriter};
use crate::key_index::KeyHash;
use crate::protocol::{ApiFailure, CONTROL_FD, LISTENER_FD, Order, SHARED_FD, WorkerSettings};
use crate::source::{KeyIndex, Tenancy};
use crate::sys::slot::{Loading, SlotMemory};

/// Orders on their way to a worker, at most.
const ORDERS_MAX: usize = 16;
/// Bytes of stored sessions in one order, at most.
const STORED_BYTES_MAX: usize = 4 << 20;
/// Lines of plugins of one slot in a second, at most.
const PLUGIN_LINES_PER_SECOND_MAX: u32 = 1000;

/// A generation on its way to a worker.
pub(super) struct Applying {
    pub(super) serial: u64,
    pub(super) effective: Arc<Effective>,
    /// What of it the slot leaves out.
    pub(super) excluded: Vec<ApiFailure>,
}

/// A running worker and what it was told.
pub(super) struct Worker {
    pub(super) pid: Option<u32>,
    pub(super) child: Child,
    pub(super) reader: FrameReader<OwnedReadHalf>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) writer: JoinHandle<()>,
    pub(super) printed: Printed,
    pub(super) tenancy: Arc<Tenancy>,
    pub(super) meanings: Meanings,
    pub(super) lines: Rate,
    /// What it runs, once it has said so.
    pub(super) running: Option<Arc<Effective>>,
    /// APIs of it that it could not bring there: they are told again with the next generation.
    pub(super) failed: BTreeSet<String>,
    /// What it was told and has not answered.
    pub(super) applying: Option<Applying>,
    pub(super) serial: u64,
    /// What could not be brought to that.
    pub(super) failures: Vec<ApiFailure>,
    /// How far its keys are.
    pub(super) keys_epoch: u64,
    /// What it loaded so far.
    pub(super) loaded: Loaded,
    /// The same in numbers, beside what it runs.
    pub(super) burden: Burden,
    /// Its half of the slot's memory, and which half that is.
    pub(super) memory: Arc<SlotMemory>,
    pub(super) side: usize,
    pub(super) born: Instant,
    /// It closed its control socket, or broke the protocol.
    pub(super) hung_up: Option<String>,
    /// What its loader was at when the slot looked last, and since when.
    pub(super) loading: Option<(Loading, Instant)>,
    /// Its loader does not come back.
    pub(super) is_stuck: bool,
    keys_told: Option<KeyIndex>,
    /// The stored sessions that it was told last, and the number of each that it was told.
    stored_told: Arc<StoredView>,
    stored_numbers: BTreeMap<KeyHash, u64>,
    directory: Arc<Directory>,
}

impl Worker {
    /// Starts a worker for a slot, with this half of its memory, and tells it what does not change. On
    /// standby it accepts nothing before it is told to.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) async fn start(
        slot: &Slot,
        tenancy: Arc<Tenancy>,
        side: usize,
        standby: bool,
    ) -> io::Result<Self> {
        let memory = slot.memories[side].clone();
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let mut child = role::command("worker", &slot.settings)
            .descriptor(far.into(), CONTROL_FD)
            .descriptor(OwnedFd::from(slot.listener.try_clone()?), LISTENER_FD)
            .descriptor(memory.descriptor().try_clone_to_owned()?, SHARED_FD)
            .spawn()
            .await?;
        let printed = output::follow(
            &mut child,
            &tenancy.identity.tenant,
            "worker",
            Some(slot.number),
        );
        let (reader, writer) = UnixStream::from_std(near)?.into_split();
        let (orders, queue) = mpsc::channel(ORDERS_MAX);
        let pepper = tenancy.identity.key_pepper.expose();
        let configure = Order::Configure(WorkerSettings {
            standby,
            trace_sampler: slot.telemetry.sampler.map(|sampler| sampler.to_string()),
            ..slot.settings.for_worker(slot.number, pepper)
        });
        // The queue is new and empty, so this does not wait.
        let _ = orders.send(configure).await;
        let pid = child.id();
        Ok(Self {
            pid,
            child,
            reader: FrameReader::new(reader),
            orders,
            writer: tokio::spawn(write(FrameWriter::new(writer), queue)),
            printed,
            tenancy,
            meanings: Meanings::default(),
            lines: Rate::new(PLUGIN_LINES_PER_SECOND_MAX),
            running: None,
            failed: BTreeSet::new(),
            applying: None,
            serial: 0,
            failures: Vec::new(),
            keys_epoch: 0,
            loaded: Loaded::default(),
            burden: Burden::default(),
            memory,
            side,
            born: Instant::now(),
            hung_up: None,
            loading: None,
            is_stuck: false,
            keys_told: None,
            stored_told: Arc::default(),
            stored_numbers: BTreeMap::new(),
            directory: slot.telemetry.directory.clone(),
        })
    }

    /// Tells the worker what it does not know yet. Gives whether there was room for it.
    pub(super) fn instruct(
        &mut self,
        desired: Desired,
        exclusions: &Exclusions,
        good: Option<&Effective>,
    ) -> bool {
        if let Some(keys) = &desired.keys
            && self.keys_told.as_ref() != Some(keys)
        {
            let order = Order::Keys {
                path: keys.path.clone(),
                epoch: keys.epoch,
            };
            if self.orders.try_send(order).is_err() {
                return false;
            }
            self.keys_told = Some(keys.clone());
        }
        if !self.tell_stored(&desired.stored) {
            return false;
        }
        let Some((serial, effective)) = desired.generation else {
            return true;
        };
        if self.applying.is_some() || self.serial == serial {
            return true;
        }
        let (effective, excluded) = exclusions.apply(&effective, good);
        let mut difference = effective.difference(self.running.as_deref(), &self.failed);
        self.meanings.learn(&effective);
        let identity = &self.tenancy.identity;
        self.directory.enter(identity, &effective, &mut difference);
        if self.orders.try_send(Order::Apply(difference)).is_err() {
            return false;
        }
        self.applying = Some(Applying {
            serial,
            effective,
            excluded,
        });
        true
    }

    /// Tells the worker which stored sessions are new and which the index holds by now: after the index.
    /// Gives whether that is all.
    fn tell_stored(&mut self, stored: &Arc<StoredView>) -> bool {
        if Arc::ptr_eq(&self.stored_told, stored) {
            return true;
        }
        let (mut sessions, mut numbers, mut bytes, mut all) = (Vec::new(), Vec::new(), 0, true);
        for (hmac, (number, session)) in stored.iter() {
            if self.stored_numbers.get(hmac) == Some(number) {
                continue;
            }
            bytes += session.len();
            if bytes > STORED_BYTES_MAX {
                all = false;
                break;
            }
            sessions.push((*hmac, session.to_string()));
            numbers.push((*hmac, *number));
        }
        let known = self.stored_numbers.keys();
        let forgotten: Vec<_> = known
            .filter(|hmac| !stored.contains_key(*hmac))
            .copied()
            .collect();
        if !sessions.is_empty() || !forgotten.is_empty() {
            let order = Order::Stored {
                sessions,
                forgotten: forgotten.clone(),
            };
            if self.orders.try_send(order).is_err() {
                return false;
            }
        }
        for hmac in &forgotten {
            self.stored_numbers.remove(hmac);
        }
        self.stored_numbers.extend(numbers);
        if all {
            self.stored_told = stored.clone();
        }
        all
    }
}

/// Sends orders. Ends when the worker is gone or the slot has dropped its end.
async fn write(mut writer: FrameWriter<OwnedWriteHalf>, mut queue: mpsc::Receiver<Order>) {
    while let Some(order) = queue.recv().await {
        if let Err(e) = writer.send(&order).await {
            // Said by the reading side, which sees the same end.
            tracing::debug!("send an order: {e}");
            return;
        }
    }
}
