//! Who may open what: device keys and their documents.
//!
//! One setting in the store for each device:
//!
//! | part | what |
//! |---|---|
//! | name | `access/` and the key in 64 hexadecimal digits |
//! | value | JSON: `format` (1), `documents` (null for every document, or a list of names), `last_seen_ms` (milliseconds since 1970, or null) |

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::Time;
use serde::{Deserialize, Serialize};
use storage_redb::Batch;
use transport_quic::PublicKey;

use crate::limits::{DEVICES_MAX, GRANTS_MAX};

/// How the names of the settings begin.
pub const SETTING_PREFIX: &str = "access/";

/// The devices that may come in. What changes here is not durable until [`stage`](Access::stage) and a commit.
#[derive(Debug, Clone, Default)]
pub struct Access {
    devices: BTreeMap<PublicKey, Device>,
    /// What is not in a batch yet.
    unsaved: BTreeSet<PublicKey>,
}

/// What a device may open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Every document, those that do not exist yet too.
    All,
    /// The documents with these names.
    Documents(BTreeSet<String>),
}

/// One device that is allowed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What it may open.
    pub grant: Grant,
    /// When it last came or went.
    pub last_seen: Option<Time>,
}

impl Access {
    /// The devices in these settings, as [`Store::settings_with_prefix`](storage_redb::Store::settings_with_prefix)
    /// gives them for [`SETTING_PREFIX`].
    ///
    /// # Errors
    /// [`AccessError`] names the setting that makes no sense.
    pub fn load(settings: &[(String, Vec<u8>)]) -> Result<Self, AccessError> {
        let devices = settings.iter().map(|(name, value)| read(name, value)).collect::<Result<_, _>>()?;
        Ok(Self { devices, unsaved: BTreeSet::new() })
    }

    /// Lets a device open one document, or every document. Whether that is news.
    ///
    /// # Errors
    /// [`AccessError::TooManyDevices`] and [`AccessError::TooManyGrants`]; nothing has changed then.
    pub fn allow(&mut self, key: PublicKey, document: Option<&str>) -> Result<bool, AccessError> {
        let known = self.devices.get(&key);
        if known.is_none() && self.devices.len() >= DEVICES_MAX {
            return Err(AccessError::TooManyDevices);
        }
        let grant = match (document, known.map(|device| &device.grant)) {
            (None, Some(Grant::All)) | (Some(_), Some(Grant::All)) => return Ok(false),
            (Some(name), Some(Grant::Documents(names))) if names.contains(name) => return Ok(false),
            (Some(_), Some(Grant::Documents(names))) if names.len() >= GRANTS_MAX => {
                return Err(AccessError::TooManyGrants { key });
            }
            (None, _) => Grant::All,
            (Some(name), None) => Grant::Documents(BTreeSet::from([name.to_owned()])),
            (Some(name), Some(Grant::Documents(names))) => {
                Grant::Documents(names.iter().cloned().chain([name.to_owned()]).collect())
            }
        };
        let last_seen = known.and_then(|device| device.last_seen);
        self.devices.insert(key, Device { grant, last_seen });
        self.unsaved.insert(key);
        Ok(true)
    }

    /// Forgets a device. Whether there was one.
    pub fn revoke(&mut self, key: PublicKey) -> bool {
        let known = self.devices.remove(&key).is_some();
        if known {
            self.unsaved.insert(key);
        }
        known
    }

    /// Notes that a device came or went. This alone is no reason to write to the disk.
    pub fn note_seen(&mut self, key: PublicKey, now: Time) {
        if let Some(device) = self.devices.get_mut(&key) {
            device.last_seen = Some(now);
            self.unsaved.insert(key);
        }
    }

    /// Adds what changed to a batch.
    pub fn stage(&mut self, batch: &mut Batch<'static>) {
        for key in std::mem::take(&mut self.unsaved) {
            let name = format!("{SETTING_PREFIX}{key}");
            match self.devices.get(&key) {
                Some(device) => batch.set(name, write(device)),
                None => batch.unset(name),
            };
        }
    }

    /// The device with this key, if it is allowed in.
    #[must_use]
    pub fn device(&self, key: PublicKey) -> Option<&Device> {
        self.devices.get(&key)
    }

    /// Whether this device may open that document.
    #[must_use]
    pub fn may_open(&self, key: PublicKey, document: &str) -> bool {
        match self.devices.get(&key).map(|device| &device.grant) {
            Some(Grant::All) => true,
            Some(Grant::Documents(names)) => names.contains(document),
            None => false,
        }
    }

    /// All devices, in the order of their keys.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = (PublicKey, &Device)> {
        self.devices.iter().map(|(key, device)| (*key, device))
    }

    /// Whether something was noted that no batch has yet.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }
}

/// Access cannot be given, or not be read from the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A setting is not what this program writes.
    #[error("setting {name:?} is no access record ({detail}); remove the device and allow it again")]
    Damaged {
        /// The setting's name.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A later version wrote the setting.
    #[error(
        "setting {name:?} has format {found}, this program reads format {FORMAT}; install a newer version"
    )]
    NewerFormat {
        /// The setting's name.
        name: String,
        /// Its format.
        found: u32,
    },
    /// As many devices as there may be.
    #[error("{DEVICES_MAX} devices are allowed in, which is the limit; revoke one first")]
    TooManyDevices,
    /// As many documents for one device as there may be.
    #[error("{key} may open {GRANTS_MAX} documents, which is the limit; allow it every document instead")]
    TooManyGrants {
        /// The device.
        key: PublicKey,
    },
}

/// The value of a setting.
#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    documents: Option<BTreeSet<String>>,
    last_seen_ms: Option<u64>,
}

const FORMAT: u32 = 1;

fn write(device: &Device) -> Vec<u8> {
    let documents = match &device.grant {
        Grant::All => None,
        Grant::Documents(names) => Some(names.clone()),
    };
    let record = Record { format: FORMAT, documents, last_seen_ms: device.last_seen.map(Time::as_ms) };
    serde_json::to_vec(&record).expect("a record of plain data is JSON")
}

fn read(name: &str, value: &[u8]) -> Result<(PublicKey, Device), AccessError> {
    let damaged = |detail: String| AccessError::Damaged { name: name.to_owned(), detail };
    let key = name.strip_prefix(SETTING_PREFIX).unwrap_or_default().parse::<PublicKey>();
    let key = key.map_err(|error| damaged(error.to_string()))?;
    let format: Format = serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
    if format.format > FORMAT {
        return Err(AccessError::NewerFormat { name: name.to_owned(), found: format.format });
    }
    let record: Record = serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
    let grant = record.documents.map_or(Grant::All, Grant::Documents);
    Ok((key, Device { grant, last_seen: record.last_seen_ms.map(Time::from_clock_ms) }))
}

/// What every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[cfg(test)]
mod tests {
    use storage_redb::Store;

    use super::*;

    fn key(number: u8) -> PublicKey {
        PublicKey([number; 32])
    }

    #[test]
    fn a_device_opens_what_it_was_allowed_and_nothing_else() {
        let mut access = Access::default();
        assert_eq!(access.allow(key(1), Some("pump")), Ok(true));
        assert_eq!(access.allow(key(1), Some("pump")), Ok(false));
        assert_eq!(access.allow(key(1), Some("valve")), Ok(true));
        assert_eq!(access.allow(key(2), None), Ok(true));
        assert!(access.may_open(key(1), "pump") && access.may_open(key(1), "valve"));
        assert!(!access.may_open(key(1), "boiler") && access.may_open(key(2), "boiler"));
        assert!(!access.may_open(key(3), "pump"));
        assert_eq!(access.allow(key(1), None), Ok(true), "every document is more than two");
        assert!(access.may_open(key(1), "boiler"));
        assert_eq!(access.allow(key(1), Some("pump")), Ok(false), "and stays so");
        assert!(access.revoke(key(1)) && !access.revoke(key(1)));
        assert!(!access.may_open(key(1), "pump"));
    }

    #[test]
    fn access_comes_back_from_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let mut access = Access::default();
        access.allow(key(1), Some("pump")).unwrap();
        access.allow(key(2), None).unwrap();
        access.allow(key(3), None).unwrap();
        access.note_seen(key(2), Time::from_clock_ms(77));
        let mut batch = Batch::new();
        access.stage(&mut batch);
        store.commit(&batch).unwrap();
        access.revoke(key(3));
        let mut batch = Batch::new();
        access.stage(&mut batch);
        assert!(!access.has_unsaved());
        store.commit(&batch).unwrap();
        let loaded = Access::load(&store.settings_with_prefix(SETTING_PREFIX).unwrap()).unwrap();
        assert_eq!(loaded.devices, access.devices);
        assert_eq!(loaded.device(key(2)).unwrap().last_seen, Some(Time::from_clock_ms(77)));
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        let name = format!("{SETTING_PREFIX}{}", key(1));
        let load = |name: &str, value: &str| Access::load(&[(name.to_owned(), value.into())]).unwrap_err();
        assert!(matches!(load("access/zz", "{}"), AccessError::Damaged { name, .. } if name == "access/zz"));
        assert!(matches!(load(&name, "{}"), AccessError::Damaged { .. }));
        assert!(matches!(load(&name, "\u{0}"), AccessError::Damaged { .. }));
        assert_eq!(load(&name, r#"{"format":9}"#), AccessError::NewerFormat { name, found: 9 });
    }

    #[test]
    fn one_device_has_a_bounded_number_of_documents() {
        let mut access = Access::default();
        for number in 0..GRANTS_MAX {
            access.allow(key(1), Some(&number.to_string())).unwrap();
        }
        assert_eq!(access.allow(key(1), Some("more")), Err(AccessError::TooManyGrants { key: key(1) }));
        assert_eq!(access.allow(key(1), None), Ok(true));
    }
}
