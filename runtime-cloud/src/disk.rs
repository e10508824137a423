//! The store in a thread of its own: a commit takes milliseconds, and nobody else waits for it.

use rand_chacha::ChaCha12Rng;
use std::sync::mpsc as jobs;
use std::thread::{self, JoinHandle};

use crdt_core::{Heap, Moment, Replica};
use storage_redb::{Batch, LoadError, Store, StoreError};
use tokio::sync::mpsc;

use crate::engine::replica_config;

/// The thread that owns the store. Jobs are done one after the other.
#[derive(Debug)]
pub(crate) struct Disk {
    jobs: Option<jobs::Sender<Job>>,
    done: mpsc::UnboundedReceiver<Done>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

/// Something to do. There is one commit at a time, and one load for each document: that bounds the queue.
#[derive(Debug)]
enum Job {
    Commit(Batch<'static>),
    Load { document: String, rng: Box<ChaCha12Rng>, moment: Moment },
}

/// Something was done.
#[derive(Debug)]
pub(crate) enum Done {
    Committed,
    /// The store is of no more use.
    Failed(StoreError),
    Loaded {
        document: String,
        /// The error is about this document alone.
        loaded: Box<Result<Option<Replica<Heap, ChaCha12Rng>>, String>>,
    },
}

impl Disk {
    /// Starts the thread.
    pub(crate) fn start(store: Store) -> Self {
        let (job_sender, job_receiver) = jobs::channel();
        let (done_sender, done) = mpsc::unbounded_channel();
        let thread = thread::spawn(move || run(store, &job_receiver, &done_sender));
        Self { jobs: Some(job_sender), done, thread: Some(thread) }
    }

    /// Commits a batch.
    pub(crate) fn commit(&self, batch: Batch<'static>) {
        self.push(Job::Commit(batch));
    }

    /// Loads a document.
    pub(crate) fn load(&self, document: String, rng: ChaCha12Rng, moment: Moment) {
        self.push(Job::Load { document, rng: Box::new(rng), moment });
    }

    /// What was done. Nothing is lost if the future is dropped.
    pub(crate) async fn done(&mut self) -> Done {
        match self.done.recv().await {
            Some(done) => done,
            None => Done::Failed(StoreError::Stopped { cause: "its thread has ended".to_owned() }),
        }
    }

    /// Does what is queued, closes the store, and ends the thread. Blocks for as long.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        self.jobs = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(closed)) => closed,
            Some(Err(_)) => Err(StoreError::Stopped { cause: "its thread panicked".to_owned() }),
            None => Ok(()),
        }
    }

    fn push(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Fails if the thread has ended; `done` says so.
            let _ = jobs.send(job);
        }
    }
}

fn run(
    store: Store,
    jobs: &jobs::Receiver<Job>,
    done: &mpsc::UnboundedSender<Done>,
) -> Result<(), StoreError> {
    while let Ok(job) = jobs.recv() {
        let result = match job {
            Job::Commit(batch) => match store.commit(&batch) {
                Ok(()) => Done::Committed,
                Err(error) => Done::Failed(error),
            },
            Job::Load { document, rng, moment } => match load(&store, &document, *rng, moment) {
                Ok(loaded) => Done::Loaded { document, loaded: Box::new(loaded) },
                Err(error) => Done::Failed(error),
            },
        };
        let failed = matches!(result, Done::Failed(_));
        // Fails if nobody waits for it any more.
        let _ = done.send(result);
        if failed {
            break;
        }
    }
    store.close()
}

/// The outer error stops the store; the inner one is about this document.
pub(crate) fn load(
    store: &Store,
    document: &str,
    rng: ChaCha12Rng,
    moment: Moment,
) -> Result<Result<Option<Replica<Heap, ChaCha12Rng>>, String>, StoreError> {
    match storage_redb::load(store, document, replica_config(), rng, moment) {
        Ok(loaded) => Ok(Ok(loaded)),
        Err(LoadError::Store(error @ StoreError::Damaged { .. })) => Ok(Err(error.to_string())),
        Err(LoadError::Store(error)) => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}
