//! Rivals over a link: the sync of another document over our transport, our documents over another transport, and MQTT.
//!
//! MQTT cannot run in virtual time: it runs between two network namespaces, whose interfaces count.
//!
//! | module | what |
//! |---|---|
//! | [`Stock`] | quinn's core as it comes |
//! | [`namespaces`] | MQTT, and ours once more, where a kernel counts |

mod certificate;
pub mod namespaces;
mod stock;

use benches::link::LinkSystem;
use benches::link::scenario::{self, GODWIT};

pub use stock::Stock;

use crate::systems::AUTOMERGE;

/// Automerge's sync protocol over our transport. It keeps every overwrite: an hour shows what a day of them costs.
pub const AUTOMERGE_OVER_OURS: LinkSystem = LinkSystem {
    name: "automerge",
    ends: scenario::ours,
    document: AUTOMERGE,
    must_ask: false,
    day_parts: 24,
};

/// Our documents over quinn's core as it comes.
pub const GODWIT_OVER_QUINN: LinkSystem = LinkSystem {
    name: "quinn",
    ends: |_| {
        let (device, cloud) = Stock::pair();
        (Box::new(device), Box::new(cloud))
    },
    document: GODWIT.document,
    must_ask: true,
    day_parts: 1,
};

/// What runs in virtual time, ours first.
pub const SYSTEMS: [LinkSystem; 3] = [GODWIT, AUTOMERGE_OVER_OURS, GODWIT_OVER_QUINN];

/// MQTT 3.1.1, QoS 1, over TLS 1.3: values, without a document. As the tables call it.
pub const MQTT: &str = "mqtt";
