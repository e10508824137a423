//! Transactions, and values of the application's types.

use anyhow::ensure;
use crdt_core::{Path, Role, Write};

use super::{Cost, End, Workload, median, timed};

/// Many writes under one stamp.
pub const TRANSACTION: Workload = Workload {
    name: "transaction",
    unit: "writes",
    what: "one transaction of writes to as many paths, half of them new",
    sizes: &[1_000, 4_000, 16_000],
    measure: |writes| {
        let paths: Vec<_> = (0..writes).map(|n| format!("site{:03}/unit{}/value", n * 7 % 97, n)).collect();
        let spent = median(5, |_| {
            let mut end = End::new(1, Role::Member)?;
            paths.iter().step_by(2).try_for_each(|path| end.write(path, 0))?;
            let mut writes = Vec::with_capacity(paths.len());
            for path in &paths {
                writes.push(Write::set(Path::new(path)?, 1));
            }
            let moment = end.moment();
            timed(|| Ok(end.replica.update(moment, &writes)?))
        })?;
        Ok(Cost::Each(spent))
    },
};

/// A list that has not changed.
pub const TYPED_WRITE: Workload = Workload {
    name: "typed_write",
    unit: "elements",
    what: "writing a list that stands there already, which writes nothing",
    sizes: &[500, 2_000, 8_000],
    measure: |elements| {
        let mut end = End::new(1, Role::Member)?;
        let list: Vec<i64> = (0..i64::try_from(elements)?).map(|n| n * 3).collect();
        let at = Path::new("plant/setpoints")?;
        let moment = end.moment();
        end.replica.write(moment, at, &list)?;
        let spent = median(5, |_| {
            let moment = end.moment();
            timed(|| {
                let written = end.replica.write(moment, at, &list)?;
                ensure!(written.is_none(), "it has not changed");
                Ok(())
            })
        })?;
        Ok(Cost::Each(spent))
    },
};
