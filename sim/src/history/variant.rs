//! Which faults a history has.

use super::world::AGGREGATOR;

/// Faults and shape of a history. Plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name on the command line.
    pub name: &'static str,
    /// Devices sync with one another too, not only with the aggregator.
    pub mesh: bool,
    /// Devices run on fixed memory.
    pub fixed: bool,
    /// Devices have less room than the document may need: they refuse writes and batches until there is more.
    pub small: bool,
    /// Connections may begin with early data, which can be recorded.
    pub early: bool,
    /// Recorded first flights are sent again.
    pub replays: bool,
    /// Processes die and start again on what their disk holds.
    pub crashes: bool,
    /// Devices lose their storage.
    pub wipes: bool,
    /// Devices are set back to an old image of their disk, and do not know it.
    pub restores: bool,
    /// The aggregator is, too: what it acknowledged may be lost, and must come back from devices that still have it.
    pub aggregator_restores: bool,
    /// The aggregator gives silent members up.
    pub retires: bool,
    /// Devices lose their storage often, and the aggregator looks often for what may go.
    pub renews: bool,
    /// Tombstones are forgotten anywhere, also where others still need them.
    pub forgets: bool,
    /// Documents are compared with what their version vectors promise.
    pub truth: bool,
    /// A duty of the driver that is neglected.
    pub broken: Option<Broken>,
}

impl Variant {
    const CALM: Self = Self {
        name: "star-calm",
        mesh: false,
        fixed: false,
        small: false,
        early: false,
        replays: false,
        crashes: false,
        wipes: false,
        restores: false,
        aggregator_restores: false,
        retires: false,
        renews: false,
        forgets: false,
        truth: true,
        broken: None,
    };

    const FAULTS: Self = Self {
        name: "star",
        early: true,
        replays: true,
        crashes: true,
        wipes: true,
        restores: true,
        retires: true,
        forgets: true,
        ..Self::CALM
    };

    /// Every variant that must converge, the calmest first.
    pub const ALL: [Self; 12] = [
        Self::CALM,
        Self { name: "star-early", early: true, replays: true, ..Self::CALM },
        Self { name: "star-crashes", crashes: true, wipes: true, ..Self::CALM },
        Self { name: "star-forgets", retires: true, forgets: true, wipes: true, ..Self::CALM },
        Self::FAULTS,
        Self { name: "star-fixed", fixed: true, ..Self::FAULTS },
        Self { name: "star-small-calm", small: true, ..Self::CALM },
        Self { name: "star-small", small: true, ..Self::FAULTS },
        Self { name: "mesh", mesh: true, ..Self::FAULTS },
        Self { name: "star-renewed", renews: true, ..Self::FAULTS },
        Self { name: "mesh-renewed", mesh: true, renews: true, ..Self::FAULTS },
        Self { name: "star-aggregator-restored", aggregator_restores: true, truth: false, ..Self::FAULTS },
    ];

    /// The variant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name == name)
    }
}

/// A duty of the driver. Each is neglected in a test that must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Early input is taken for proof that the peer is there.
    BelieveEarlyInput,
    /// The aggregator's driver says that everything is on disk before it is.
    LyingAggregator,
    /// Every driver does.
    LyingDisks,
    /// After a storage loss the id that was in use is used again.
    SameIdAfterWipe,
}

impl Broken {
    pub(super) fn lies_about_disk(self, node: usize) -> bool {
        match self {
            Broken::LyingAggregator => node == AGGREGATOR,
            Broken::LyingDisks => true,
            Broken::BelieveEarlyInput | Broken::SameIdAfterWipe => false,
        }
    }
}
