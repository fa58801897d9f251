//! The uploads of the process, and their limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::upload::{Owner, Upload};

/// The maximum number of uploads under way.
pub const MAX_OPEN: usize = 16;
/// The maximum number of uploads of one identity under way.
pub const MAX_OPEN_OF_ONE: usize = 4;
/// The maximum number of uploads that are remembered, with those that have ended.
const MAX_REMEMBERED: usize = 256;
/// How long an upload that has ended is remembered: a client whose last answer was lost asks again.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// Too many uploads are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The uploads of the process, by id.
#[derive(Default)]
pub struct Table(Mutex<HashMap<String, Entry>>);

struct Entry {
    upload: Arc<Upload>,
    ended: Option<Instant>,
}

impl Table {
    /// The upload with this id, if this owner may see it.
    pub fn get(&self, id: &str, owner: &Owner) -> Option<Arc<Upload>> {
        self.lock().get(id).map(|entry| entry.upload.clone()).filter(|upload| upload.owner == *owner)
    }

    /// The number of uploads under way.
    pub fn open(&self) -> usize {
        self.lock().values().filter(|entry| entry.upload.is_running()).count()
    }

    /// Whether one more upload of this owner may begin. One of the same file that nobody writes to is ended: clients lose track of an upload
    /// and begin again.
    pub fn make_room(&self, owner: &Owner, filename: &str, length: u64) -> Result<(), Full> {
        let running: Vec<_> =
            self.lock().values().filter(|entry| entry.upload.is_running()).map(|entry| entry.upload.clone()).collect();
        let is_twin = |upload: &Upload| {
            upload.owner == *owner && upload.filename == filename && upload.length == length && upload.is_quiet()
        };
        let (twins, others): (Vec<_>, Vec<_>) = running.into_iter().partition(|upload| is_twin(upload));
        for twin in twins {
            twin.kill("the same file was begun again");
        }
        let own = others.iter().filter(|upload| upload.owner.identity == owner.identity).count();
        if others.len() >= MAX_OPEN || own >= MAX_OPEN_OF_ONE { Err(Full) } else { Ok(()) }
    }

    /// Adds an upload, within the limits.
    pub fn add(&self, upload: Arc<Upload>) -> Result<(), Full> {
        let mut table = self.lock();
        let running = || table.values().filter(|entry| entry.upload.is_running());
        let own = running().filter(|entry| entry.upload.owner.identity == upload.owner.identity).count();
        if running().count() >= MAX_OPEN || own >= MAX_OPEN_OF_ONE {
            return Err(Full);
        }
        if table.len() >= MAX_REMEMBERED {
            let oldest = table.iter().filter(|(_, entry)| !entry.upload.is_running()).min_by_key(|(_, entry)| entry.upload.began);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                table.remove(&id);
            }
        }
        table.insert(upload.id.clone(), Entry { upload, ended: None });
        Ok(())
    }

    /// Ends uploads that have expired, and forgets those that ended long ago.
    pub fn sweep(&self) {
        let mut expired = Vec::new();
        self.lock().retain(|_, entry| {
            if entry.upload.is_running() {
                if entry.upload.expires_in().is_zero() {
                    expired.push(entry.upload.clone());
                }
                return true;
            }
            entry.ended.get_or_insert_with(Instant::now).elapsed() < REMEMBERED
        });
        for upload in expired {
            upload.kill("no part arrived in time");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
