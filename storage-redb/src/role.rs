//! Whose store a file is: a mark that is written when a store is made, and looked at whenever it is opened.

use crate::error::StoreError;
use crate::read::Snapshot;

/// The program that a store belongs to. One that belongs to another program is refused.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// The program's name, which is the mark.
    pub name: &'static str,
    /// Settings that only this program's stores have. A store without a mark is taken, and marked, if it has one of them.
    pub known_by: &'static [&'static str],
    /// What to do about a damaged store of this program. It completes an error's text.
    pub after_damage: &'static str,
}

/// The setting that is the mark: the name of a [`Role`], UTF-8.
pub(crate) const ROLE_SETTING: &str = "role";

/// Whether a store is a marked one of this role; not yet marked if not.
pub(crate) fn is_marked(snapshot: &Snapshot, role: &Role) -> Result<bool, StoreError> {
    let path = std::path::PathBuf::new();
    match snapshot.setting(ROLE_SETTING)? {
        Some(found) if found == role.name.as_bytes() => Ok(true),
        Some(found) => {
            let found = String::from_utf8_lossy(&found).chars().take(NAME_SHOWN_MAX).collect();
            Err(StoreError::OtherRole { path, found, wanted: role.name })
        }
        None => {
            for name in role.known_by {
                if snapshot.setting(name)?.is_some() {
                    return Ok(false);
                }
            }
            Err(StoreError::Unmarked { path, wanted: role.name })
        }
    }
}

/// Most characters of a mark that an error shows.
const NAME_SHOWN_MAX: usize = 40;
