//! Watches the folder by looking at it again and again, and takes a change once two looks agree on it.
//!
//! Looking, and not notification by the kernel: what is behind a mount (NFS, container volumes, 9p) gives
//! none, a swapped symbolic link leaves watches on what is gone, and after an overflow one has to look
//! anyway. A look costs a `stat` for each file.
//!
//! Invariant: a file that changed while it was read is not taken; what was taken stays until something
//! newer is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gantry_domain::Limits;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::compose::{Composed, compose};
use super::contents::{self, Content, Contents};
use super::look::{Item, Look, look};
use super::{Refused, UNPACKED};
use crate::config::Folder;
use crate::source::keys::KeyLedger;
use crate::source::{Complaint, Origin, SourceState, Tenancy, Trouble};

/// Time between the first two looks: nobody should wait for a folder that lies still.
const FIRST_LOOKS: Duration = Duration::from_millis(50);
/// Time between two looks as a multiple of what a look takes, at least: a large folder on a slow disk must
/// not keep a core busy.
const REST_PER_LOOK: u32 = 20;
/// Time after which what lies still is taken though something else keeps changing.
const SETTLE_LONGEST: Duration = Duration::from_secs(10);

/// Watches until told to stop.
pub async fn run(folder: Folder, output: watch::Sender<SourceState>, stop: CancellationToken) {
    let Some(tenancy) = output.borrow().tenancy.clone() else {
        return;
    };
    let mut watcher = Watcher::new(folder, &tenancy, output);
    loop {
        // It reads and hashes: other work of this thread must not wait for that.
        let work = move || {
            watcher.step();
            watcher
        };
        let Ok(stepped) = tokio::task::spawn_blocking(work).await else {
            return;
        };
        watcher = stepped;
        let pause = watcher.pause();
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

struct Watcher {
    folder: Folder,
    tenancy: Arc<Tenancy>,
    unpacked: PathBuf,
    output: watch::Sender<SourceState>,
    ledger: KeyLedger,
    /// How long the last look took.
    look_took: Duration,
    /// The last look.
    seen: Option<Look>,
    /// The look that was taken last, and what it showed.
    taken: Option<Look>,
    contents: Contents,
    /// Since when looks have differed from what was taken.
    changing_since: Option<Instant>,
    /// What was wrong with what was taken, as a whole.
    standing: Option<Trouble>,
    /// The key file that is in effect.
    keys: Option<Arc<Content>>,
}

impl Watcher {
    fn new(folder: Folder, tenancy: &Arc<Tenancy>, output: watch::Sender<SourceState>) -> Self {
        Self {
            unpacked: tenancy.store.file(UNPACKED),
            ledger: KeyLedger::new(&tenancy.store, &Limits::default()),
            tenancy: tenancy.clone(),
            folder,
            output,
            look_took: Duration::ZERO,
            seen: None,
            taken: None,
            contents: Contents::new(),
            changing_since: None,
            standing: None,
            keys: None,
        }
    }

    /// Time until the next look.
    fn pause(&self) -> Duration {
        let configured = Duration::from_millis(self.folder.poll_interval_ms);
        let wanted = match self.taken {
            Some(_) => configured,
            None => configured.min(FIRST_LOOKS),
        };
        wanted.max(self.look_took * REST_PER_LOOK)
    }

    /// One look and what follows from it. Blocks.
    fn step(&mut self) {
        let began = Instant::now();
        let looked = look(&self.folder.path);
        self.look_took = began.elapsed();
        let now = match looked {
            Ok(now) => now,
            Err(e) => {
                self.seen = None;
                let message = format!("{e}; going on with what is here");
                return self.say(Some(Trouble {
                    code: e.code(),
                    message,
                }));
            }
        };
        if self.taken.as_ref() == Some(&now) {
            self.changing_since = None;
            self.seen = Some(now);
            return self.say(self.standing.clone());
        }
        let since = *self.changing_since.get_or_insert_with(Instant::now);
        if self.seen.as_ref() == Some(&now) {
            self.take(now.clone());
        } else if let Some(seen) = &self.seen
            && since.elapsed() >= SETTLE_LONGEST
        {
            let still = what_lies_still(&now, seen, self.taken.as_ref());
            self.take(still);
        }
        self.seen = Some(now);
    }

    fn take(&mut self, look_taken: Look) {
        let contents = contents::read(
            &self.folder.path,
            &look_taken,
            &self.contents,
            &self.tenancy.identity.tenant,
            &self.unpacked,
        );
        // What changed while it was read is read again when it lies still.
        let Ok(after) = look(&self.folder.path) else {
            return;
        };
        let changed = |(item, print): (&Item, &_)| {
            let is_new = self
                .contents
                .get(item)
                .is_none_or(|(before, _)| before != print);
            is_new && after.get(item) != Some(print)
        };
        if look_taken.iter().any(changed) {
            return;
        }
        self.contents = contents;
        let has_definitions = look_taken.keys().any(|item| matches!(item, Item::Api(_)));
        self.taken = Some(look_taken);
        self.changing_since = None;
        self.standing = (!has_definitions).then(|| Trouble {
            code: "FOLDER_EMPTY",
            message:
                "expected at least one API definition in apis, found none; going on with what is \
                      here (to serve nothing, set active to false)"
                    .into(),
        });
        self.say(self.standing.clone());
        if has_definitions {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let before = self.output.borrow().snapshot.clone();
        let Composed {
            snapshot,
            files,
            mut complaints,
            warnings,
        } = compose(&self.contents, before.as_deref(), &self.folder);
        complaints.extend(self.take_keys());
        self.announce(&complaints);
        for (file, warning) in warnings {
            tracing::debug!(code = warning.code, file, "{file}: {warning}");
        }
        let is_new = before
            .as_ref()
            .is_none_or(|before| before.revision != snapshot.revision);
        if is_new {
            let number = snapshot.revision.number;
            tracing::info!(revision = number, "took revision {number} from the folder");
        }
        self.output.send_modify(|state| {
            if is_new {
                state.snapshot = Some(Arc::new(snapshot));
            }
            state.origin = Some(Origin::Folder(Arc::new(files)));
            state.complaints = complaints.into();
        });
    }

    /// Takes the keys, if they are others than those in effect; gives why not.
    fn take_keys(&mut self) -> Option<Complaint> {
        let complain = |refused: &Refused| Complaint {
            file: Item::Keys.file(),
            code: refused.code,
            message: format!("{}; the keys that were taken before stay", refused.message),
            apis: BTreeSet::new(),
        };
        let Some((_, content)) = self.contents.get(&Item::Keys) else {
            return self.without_keys().map(|refused| complain(&refused));
        };
        let content = content.clone();
        if self
            .keys
            .as_ref()
            .is_some_and(|keys| Arc::ptr_eq(keys, &content))
        {
            return None;
        }
        let Content::Keys(read) = &*content else {
            return None;
        };
        let taken = read.as_ref().map_err(Clone::clone).and_then(|file| {
            let pepper = self.tenancy.identity.key_pepper.expose();
            if file.pepper.as_ref().is_some_and(|given| given != pepper) {
                let message = "has another pepper than when the gateway started; restart it";
                return Err(Refused::new("PEPPER_CHANGED", message));
            }
            self.index(file.delta(pepper, self.next_epoch()))?;
            tracing::info!(keys = file.len(), "took {} consumer key(s)", file.len());
            Ok(())
        });
        match taken {
            Ok(()) => {
                self.keys = Some(content);
                None
            }
            Err(refused) => Some(complain(&refused)),
        }
    }

    /// No file: nobody has a key yet, or it is gone, which takes no key away.
    fn without_keys(&mut self) -> Option<Refused> {
        let had = self
            .output
            .borrow()
            .keys
            .as_ref()
            .is_some_and(|keys| keys.epoch > 0);
        if had {
            let message = "is gone (to take all keys away, write one without keys)";
            return Some(Refused::new("KEYS_MISSING", message));
        }
        let none = self.output.borrow().keys.is_none();
        let empty = gantry_proto::v1::KeyDelta {
            replace: true,
            last: true,
            ..Default::default()
        };
        none.then(|| self.index(empty).err()).flatten()
    }

    fn index(&mut self, delta: gantry_proto::v1::KeyDelta) -> Result<(), Refused> {
        let taken = self.ledger.take(delta);
        let index = taken.map_err(|e| Refused::new("KEYS_REFUSED", e.to_string()))?;
        self.output.send_modify(|state| state.keys = index);
        Ok(())
    }

    fn next_epoch(&self) -> u64 {
        self.output
            .borrow()
            .keys
            .as_ref()
            .map_or(0, |keys| keys.epoch)
            + 1
    }

    /// Says what is newly refused, and what no longer is.
    fn announce(&self, complaints: &[Complaint]) {
        let before = self.output.borrow().complaints.clone();
        let tenant = &self.tenancy.identity.tenant;
        for complaint in complaints
            .iter()
            .filter(|complaint| !before.contains(complaint))
        {
            let Complaint {
                file,
                code,
                message,
                ..
            } = complaint;
            tracing::error!(code, file, tenant.id = %tenant, "{file} is not taken: {message}");
        }
        let still = |file: &String| complaints.iter().any(|complaint| complaint.file == *file);
        for complaint in before.iter().filter(|complaint| !still(&complaint.file)) {
            let file = &complaint.file;
            tracing::info!(file, tenant.id = %tenant, "{file} is no longer refused");
        }
    }

    /// Publishes what is wrong as a whole, and says it when it changes.
    fn say(&self, trouble: Option<Trouble>) {
        let changed = self.output.borrow().trouble != trouble;
        if !changed {
            return;
        }
        if let Some(trouble) = &trouble {
            tracing::error!(code = trouble.code, "{}", trouble.message);
        } else {
            tracing::info!("the folder can be read again");
        }
        self.output.send_modify(|state| state.trouble = trouble);
    }
}

/// Of a folder that keeps changing: what two looks agree on, and of the rest what was taken before.
fn what_lies_still(now: &Look, seen: &Look, taken: Option<&Look>) -> Look {
    let none = Look::new();
    let taken = taken.unwrap_or(&none);
    let items: BTreeSet<&Item> = now.keys().chain(taken.keys()).collect();
    let print = |item: &Item| {
        let agreed = now.get(item) == seen.get(item);
        if agreed { now } else { taken }.get(item).cloned()
    };
    items
        .into_iter()
        .filter_map(|item| Some((item.clone(), print(item)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_keeps_changing_stays_as_it_was_and_the_rest_moves_on() {
        let folder = tempfile::tempdir().unwrap();
        let apis = folder.path().join("apis");
        fs::create_dir(&apis).unwrap();
        let write = |name: &str, text: &str| fs::write(apis.join(name), text).unwrap();
        let see = || look(folder.path()).unwrap();
        let item = |name: &str| Item::Api(name.to_owned());
        for name in ["edited.json", "busy.json", "gone.json"] {
            write(name, "1");
        }
        let taken = see();
        write("edited.json", "22");
        write("busy.json", "22");
        write("new.json", "1");
        fs::remove_file(apis.join("gone.json")).unwrap();
        let seen = see();
        write("busy.json", "333");
        write("newest.json", "1");
        let now = see();
        let still = what_lies_still(&now, &seen, Some(&taken));
        assert_eq!(
            still.get(&item("edited.json")),
            now.get(&item("edited.json"))
        );
        assert_eq!(still.get(&item("busy.json")), taken.get(&item("busy.json")));
        assert_eq!(still.get(&item("new.json")), now.get(&item("new.json")));
        for absent in ["gone.json", "newest.json"] {
            assert!(!still.contains_key(&item(absent)), "{absent}");
        }
    }
}
