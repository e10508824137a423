//! What a store should hold, as maps, and random batches for both.

use std::collections::BTreeMap;

use crate::batch::{Batch, Change, DocumentCommit};
use crate::error::StoreError;
use crate::faults::Random;
use crate::read::LoadedDocument;
use crate::store::Store;

/// The whole content of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    documents: BTreeMap<String, Document>,
    settings: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Document {
    meta: Vec<u8>,
    cells: BTreeMap<String, Vec<u8>>,
}

impl Contents {
    /// Applies a batch, by the documented rules.
    pub(super) fn apply(&mut self, batch: &Batch<'_>) {
        for change in &batch.changes {
            match change {
                Change::Document(commit) => {
                    let document = self.documents.entry(commit.name.to_string()).or_default();
                    document.meta = commit.meta.to_vec();
                    if commit.rewrite {
                        document.cells.clear();
                    }
                    for (path, record) in &commit.cells {
                        match record {
                            Some(record) => document.cells.insert(path.to_string(), record.to_vec()),
                            None => document.cells.remove(&**path),
                        };
                    }
                }
                Change::RemoveDocument(name) => drop(self.documents.remove(&**name)),
                Change::RemoveSetting(name) => drop(self.settings.remove(&**name)),
                Change::Setting { name, value } => {
                    self.settings.insert(name.to_string(), value.to_vec());
                }
            }
        }
    }

    /// Reads everything, through the public interface.
    pub(super) fn read(store: &Store) -> Result<Self, StoreError> {
        store.verify()?;
        let mut contents = Self::default();
        for name in store.documents()? {
            let LoadedDocument { meta, cells } = store.load(&name)?.expect("it was just listed");
            assert!(cells.is_sorted_by_key(|(path, _)| path.as_bytes().to_vec()), "cells come in path order");
            contents.documents.insert(name, Document { meta, cells: cells.into_iter().collect() });
        }
        contents.settings = store.settings_with_prefix("")?.into_iter().collect();
        for (name, value) in &contents.settings {
            assert_eq!(store.setting(name)?.as_ref(), Some(value));
        }
        Ok(contents)
    }

    pub(super) fn cells(&self) -> usize {
        self.documents.values().map(|document| document.cells.len()).sum()
    }
}

/// Names that would collide if one were a prefix of a key, or a separator inside it.
const NAMES: [&str; 6] = ["", "a", "a\0", "a/b", "\u{e9}t\u{e9}", "\u{10ffff}"];

/// A batch as a busy aggregator would commit it: several documents, now and then a rewrite, a removal, a setting.
pub(super) fn random_batch(random: &mut Random) -> Batch<'static> {
    let mut batch = Batch::new();
    for _ in 0..=random.below(3) {
        let name = NAMES[random.below(NAMES.len() as u64) as usize];
        if random.below(20) == 0 {
            batch.remove_document(name);
            continue;
        }
        let mut document = DocumentCommit::new(name, random.next().to_le_bytes().to_vec());
        if random.below(20) == 0 {
            document.rewrite();
        }
        for _ in 0..random.below(8) {
            let path = format!("{}/{}", NAMES[random.below(NAMES.len() as u64) as usize], random.below(8));
            if random.below(4) == 0 {
                document.remove(path);
            } else {
                document.put(path, random_record(random));
            }
        }
        batch.push(document);
    }
    if random.below(3) == 0 {
        let name = format!("allow/{}", random.below(6));
        if random.below(4) == 0 {
            batch.unset(name);
        } else {
            batch.set(name, random_record(random));
        }
    }
    batch
}

/// Mostly short, at times empty, at times longer than a page.
fn random_record(random: &mut Random) -> Vec<u8> {
    let len = match random.below(40) {
        0 => 5000 + random.below(5000),
        n if n < 4 => 0,
        _ => random.below(60),
    };
    let byte = random.next() as u8;
    vec![byte; len as usize]
}
