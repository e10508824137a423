//! What was promised, and what is missing.
//!
//! The supervisor notes each write to a document before it is made, and each promise about it: "it is on the device's
//! disk", "it is on the aggregator's disk". In the end, a promise about a write is kept if the last value that was
//! promised for a path, or a newer one, stands there.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::cells::Cells;

/// The writes to one document.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    writes: Vec<Write>,
    /// Where the writes of the present process are, by number.
    numbers: Vec<usize>,
}

/// A promise about writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// On the aggregator's disk.
    Acknowledged,
    /// On the device's disk.
    Durable,
}

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Writer {
    Cloud,
    Device,
}

#[derive(Debug)]
struct Write {
    writer: Writer,
    cells: Cells,
    /// Milliseconds since 1970, before the write and after it; no end while it is not known to be made.
    begun_ms: u64,
    ended_ms: Option<u64>,
    is_acknowledged: bool,
}

impl Journal {
    /// The device's process was started: its numbers begin again.
    pub(crate) fn process_started(&mut self) {
        self.numbers.clear();
    }

    /// The device is about to write. The writes of a process have numbers, from 1.
    pub(crate) fn device_writes(&mut self, begun_ms: u64, cells: Cells) {
        self.numbers.push(self.writes.len());
        let writer = Writer::Device;
        self.writes.push(Write { writer, cells, begun_ms, ended_ms: None, is_acknowledged: false });
    }

    /// The cloud side wrote; the aggregator has answered that it has it.
    pub(crate) fn cloud_wrote(&mut self, begun_ms: u64, ended_ms: u64, path: &str, value: Json) {
        let cells = Cells::from([(path.to_owned(), value)]);
        let writer = Writer::Cloud;
        self.writes.push(Write { writer, cells, begun_ms, ended_ms: Some(ended_ms), is_acknowledged: true });
    }

    /// The device was told that its writes up to this number are on its own disk.
    pub(crate) fn durable(&mut self, through: u64, now_ms: u64) {
        self.each_through(through, |write| {
            write.ended_ms.get_or_insert(now_ms);
        });
    }

    /// The device was told that its writes up to this number are on the aggregator's disk, and with them what it made
    /// durable before: a replica is acknowledged from its begin.
    pub(crate) fn acknowledged(&mut self, through: u64) {
        self.each_through(through, |write| write.is_acknowledged = true);
        let before = self.numbers.first().copied().unwrap_or(0);
        for write in self.writes[..before].iter_mut().filter(|write| write.ended_ms.is_some()) {
            write.is_acknowledged = true;
        }
    }

    /// Writes of the device that are known to be made.
    #[must_use]
    pub(crate) fn device_updates(&self) -> u64 {
        self.count(|write| write.writer == Writer::Device && write.ended_ms.is_some())
    }

    /// Cells in them.
    #[must_use]
    pub(crate) fn device_cells(&self) -> u64 {
        let made =
            self.writes.iter().filter(|write| write.writer == Writer::Device && write.ended_ms.is_some());
        made.map(|write| write.cells.len() as u64).sum()
    }

    /// Writes of the cloud side.
    #[must_use]
    pub(crate) fn cloud_updates(&self) -> u64 {
        self.count(|write| write.writer == Writer::Cloud)
    }

    /// Writes that are promised to be on the aggregator's disk.
    #[must_use]
    pub(crate) fn acknowledged_updates(&self) -> u64 {
        self.count(|write| write.is_acknowledged)
    }

    /// Whether something that was made is not known to be at the aggregator.
    #[must_use]
    pub(crate) fn awaits_receipt(&self) -> bool {
        self.writes.iter().any(|write| write.ended_ms.is_some() && !write.is_acknowledged)
    }

    /// When the document was last changed; zero if never.
    #[must_use]
    pub(crate) fn last_change_ms(&self) -> u64 {
        self.writes.iter().map(|write| write.ended_ms.unwrap_or(write.begun_ms)).max().unwrap_or(0)
    }

    /// Writes that were promised and of which something is missing in `found`: a path has neither their value nor a
    /// newer one. Empty when all promises are kept.
    #[must_use]
    pub(crate) fn lost<'a>(&'a self, promise: Promise, found: &Cells) -> Vec<(&'a str, &'a Json)> {
        let mut last = BTreeMap::new();
        for (index, write) in self.writes.iter().enumerate() {
            let is_promised = match promise {
                Promise::Acknowledged => write.is_acknowledged,
                Promise::Durable => write.writer == Writer::Device && write.ended_ms.is_some(),
            };
            if is_promised {
                for (path, value) in &write.cells {
                    last.insert((path.as_str(), write.writer), (index, value));
                }
            }
        }
        let is_kept = |path: &str, index: usize| {
            found.get(path).is_some_and(|found| self.is_value_since(path, found, index))
        };
        let lost = last.into_iter().filter(|((path, _), (index, _))| !is_kept(path, *index));
        lost.map(|((path, _), (_, value))| (path, value)).collect()
    }

    /// Whether `value` was written to `path` by the write at `index` or by a later one. Two writers at the same time may
    /// come in either order.
    fn is_value_since(&self, path: &str, value: &Json, index: usize) -> bool {
        let promised = &self.writes[index];
        self.writes.iter().enumerate().any(|(candidate, write)| {
            write.cells.get(path) == Some(value)
                && if write.writer == promised.writer {
                    candidate >= index
                } else {
                    write.ended_ms.is_none_or(|ended_ms| ended_ms >= promised.begun_ms)
                }
        })
    }

    fn each_through(&mut self, through: u64, mut change: impl FnMut(&mut Write)) {
        let count = usize::try_from(through).unwrap_or(usize::MAX).min(self.numbers.len());
        for &index in &self.numbers[..count] {
            change(&mut self.writes[index]);
        }
    }

    fn count(&self, what: impl Fn(&Write) -> bool) -> u64 {
        self.writes.iter().filter(|write| what(write)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cells(path: &str, value: i64) -> Cells {
        Cells::from([(path.to_owned(), json!(value))])
    }

    #[test]
    fn an_older_value_breaks_a_promise_and_a_newer_one_keeps_it() {
        let mut journal = Journal::default();
        for (at_ms, value) in [(10, 1), (20, 2), (30, 3)] {
            journal.device_writes(at_ms, cells("a", value));
        }
        journal.durable(3, 40);
        journal.acknowledged(2);
        assert_eq!(journal.acknowledged_updates(), 2);
        assert_eq!(journal.lost(Promise::Acknowledged, &cells("a", 1)), [("a", &json!(2))]);
        assert_eq!(journal.lost(Promise::Acknowledged, &cells("b", 2)), [("a", &json!(2))]);
        assert_eq!(journal.lost(Promise::Acknowledged, &cells("a", 2)), []);
        assert_eq!(journal.lost(Promise::Acknowledged, &cells("a", 3)), []);
        assert_eq!(journal.lost(Promise::Durable, &cells("a", 2)), [("a", &json!(3))]);
    }

    #[test]
    fn another_writer_keeps_a_promise_only_if_it_was_not_earlier() {
        let mut journal = Journal::default();
        journal.cloud_wrote(5, 6, "a", json!(100));
        journal.device_writes(10, cells("a", 1));
        journal.durable(1, 12);
        journal.acknowledged(1);
        let lost = journal.lost(Promise::Acknowledged, &cells("a", 100));
        assert_eq!(lost, [("a", &json!(1))], "the cloud's write was earlier");
        journal.cloud_wrote(11, 13, "a", json!(200));
        assert_eq!(journal.lost(Promise::Acknowledged, &cells("a", 200)), []);
        assert_eq!(journal.lost(Promise::Acknowledged, &cells("a", 1)), [], "they overlap: either may win");
        journal.cloud_wrote(20, 21, "a", json!(300));
        assert_eq!(journal.lost(Promise::Acknowledged, &cells("a", 1)), [("a", &json!(300))]);
    }

    #[test]
    fn numbers_begin_again_with_each_process() {
        let mut journal = Journal::default();
        journal.process_started();
        journal.device_writes(1, cells("a", 1));
        journal.durable(1, 2);
        journal.device_writes(3, cells("a", 2));
        journal.process_started();
        assert_eq!(journal.device_updates(), 1, "nobody knows whether the second one was made");
        journal.device_writes(5, cells("a", 3));
        journal.durable(1, 6);
        assert_eq!(journal.device_updates(), 2);
        assert!(journal.awaits_receipt());
        journal.acknowledged(1);
        assert!(!journal.awaits_receipt());
        assert_eq!(journal.acknowledged_updates(), 2, "what was durable before is acknowledged with it");
        assert_eq!(journal.lost(Promise::Durable, &cells("a", 2)), [("a", &json!(3))]);
        assert_eq!(journal.last_change_ms(), 6);
    }
}
