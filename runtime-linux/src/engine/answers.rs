//! Answers that wait until everything before them is durable.

use super::io::Reply;
use crate::error::EdgeError;

/// Answers in the order of their commands.
#[derive(Default)]
pub(super) struct Answers(Vec<Answer>);

/// Gives an answer, or this error instead of it.
type Answer = Box<dyn FnOnce(Option<EdgeError>) + Send>;

impl Answers {
    pub(super) fn add<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, EdgeError>) {
        // Whoever does not wait any more needs no answer.
        self.0.push(Box::new(move |failure| drop(reply.send(failure.map_or(result, Err)))));
    }

    /// Everything is durable.
    pub(super) fn give(&mut self) {
        self.0.drain(..).for_each(|answer| answer(None));
    }

    /// What they tell of may be lost.
    pub(super) fn fail(&mut self, error: impl Fn() -> EdgeError) {
        self.0.drain(..).for_each(|answer| answer(Some(error())));
    }
}
