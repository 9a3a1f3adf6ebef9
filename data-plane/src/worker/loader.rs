//! The thread that runs what no request may wait for: opening libraries, starting and stopping
//! instances, building the next generation. One at a time, in the order in which it was asked.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use arc_swap::ArcSwap;
use gantry_plugin_host::Instance;
use tokio::sync::oneshot;

use super::api::Api;
use super::generation::Assembly;
use super::reports::Reporter;
use super::router::Router;
use super::threads;
use super::upstream::UpstreamSettings;
use crate::protocol::{ApiFailure, Generation};
use crate::sys::slot::SlotMemory;

/// What requests are routed by: the latest generation's table.
pub type Routes = ArcSwap<Table>;

/// The table of one generation.
#[derive(Debug, Default)]
pub struct Table {
    /// The revision; 0 before the first.
    pub revision: u64,
    /// Its APIs.
    pub apis: Router<Arc<Api>>,
}

/// What the thread is asked.
#[derive(Debug)]
pub enum Job {
    /// Bring the worker to this generation and answer with what could not be brought there.
    Apply(Generation, oneshot::Sender<Vec<ApiFailure>>),
    /// Stop this instance: nobody uses it any more.
    Stop(Instance),
    /// Let go of everything, and answer.
    Finish(oneshot::Sender<()>),
}

/// The thread, from outside.
#[derive(Debug, Clone)]
pub struct Loader {
    jobs: Sender<Job>,
}

impl Loader {
    /// Starts the thread. It ends with the process.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        memory: &'static SlotMemory,
        settings: UpstreamSettings,
        reporter: Reporter,
        routes: Arc<Routes>,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let assembly_jobs = jobs.clone();
        std::thread::Builder::new()
            .name("loader".into())
            .spawn(move || {
                threads::stand_back(&reporter);
                threads::stay_interruptible(&reporter);
                let assembly = Assembly::new(memory, settings, reporter, assembly_jobs);
                run(assembly, &queue, &routes);
            })?;
        Ok(Self { jobs })
    }

    /// Brings the worker to a generation. When this returns, new requests run on it. None if the thread
    /// is gone, which only a panic on it can bring about: the worker is of no use then.
    pub async fn apply(&self, generation: Generation) -> Option<Vec<ApiFailure>> {
        let (answer, applied) = oneshot::channel();
        let _ = self.jobs.send(Job::Apply(generation, answer));
        applied.await.ok()
    }

    /// Lets go of all instances and waits until those that no request holds are stopped.
    pub async fn finish(&self) {
        let (answer, finished) = oneshot::channel();
        let _ = self.jobs.send(Job::Finish(answer));
        let _ = finished.await;
    }
}

fn run(mut assembly: Assembly, jobs: &Receiver<Job>, routes: &Routes) {
    for job in jobs {
        match job {
            Job::Apply(generation, answer) => {
                let revision = generation.revision;
                let (apis, failures) = assembly.apply(generation);
                // Requests that are on the previous generation stay on it; it goes with the last.
                routes.store(Arc::new(Table { revision, apis }));
                let _ = answer.send(failures);
            }
            Job::Stop(instance) => assembly.stop(instance),
            Job::Finish(answer) => {
                assembly.clear();
                routes.store(Arc::default());
                // What the table held comes back as jobs of its own.
                for job in jobs.try_iter() {
                    if let Job::Stop(instance) = job {
                        assembly.stop(instance);
                    }
                }
                let _ = answer.send(());
            }
        }
    }
}
