//! Writers at once, and what each of their records may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mcp_login::core::Timestamp;
use mcp_login::store::backend::{Backend, Entry, Key, StoreError, Swap, Version};
use mcp_login::store::file::FileBackend;
use mcp_login_testkit::power_cut::Random;
use tokio::task::JoinSet;

/// How many write at once, each its own records.
const WRITERS: usize = 16;
const RECORDS_OF_EACH: usize = 12;

/// How long a record is at most: mostly less than a page of the file, at times several.
const LENGTHS: [u64; 4] = [1, 100, 1_500, 12_000];

/// How much each writes at most; the power is nearly always cut before.
const MOST_STEPS: u64 = 1_000;

/// A record as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) version: u64,
    pub(crate) end: Timestamp,
    pub(crate) value: Vec<u8>,
}

#[derive(Debug)]
struct Record {
    key: Key,
    /// What it was when the store last answered.
    known: Option<Written>,
    /// A write that was not answered.
    in_doubt: Option<Unanswered>,
}

/// What a record has become if the write has happened.
#[derive(Debug)]
struct Unanswered(Option<Written>);

#[derive(Debug)]
struct Writer {
    random: Random,
    clock: Arc<AtomicU64>,
    records: Vec<Record>,
}

/// All writers, and the time, which runs as they write: what ends is swept meanwhile.
#[derive(Debug)]
pub(crate) struct Load {
    clock: Arc<AtomicU64>,
    writers: Vec<Writer>,
}

/// What writers have come to.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// How many writes were answered.
    pub(crate) answered: u64,
    /// Whether one was not.
    pub(crate) failed: bool,
}

/// What became of the writes that were not answered.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) kept: u64,
    pub(crate) lost: u64,
}

fn live(record: Option<&Written>, now: Timestamp) -> Option<&Written> {
    record.filter(|written| !written.end.has_passed(now))
}

impl Load {
    pub(crate) fn new(random: &mut Random) -> Self {
        let clock = Arc::new(AtomicU64::new(1_800_000_000_000));
        let writers = (0..WRITERS).map(|writer| Writer {
            random: random.fork(),
            clock: Arc::clone(&clock),
            records: (0..RECORDS_OF_EACH).map(|record| Record::new(writer, record)).collect(),
        });
        Self { writers: writers.collect(), clock }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    /// Writes until the store fails.
    pub(crate) async fn run(&mut self, backend: &Arc<FileBackend>) -> Ran {
        let mut running = JoinSet::new();
        for mut writer in self.writers.drain(..) {
            let backend = Arc::clone(backend);
            running.spawn(async move {
                let ran = writer.run(&backend).await;
                (writer, ran)
            });
        }
        let mut all = Ran::default();
        for (writer, ran) in running.join_all().await {
            self.writers.push(writer);
            all.answered += ran.answered;
            all.failed |= ran.failed;
        }
        all
    }

    /// The store answers what is in its file, unless the power is cut meanwhile.
    pub(crate) async fn check_answers(&self, backend: &FileBackend, is_off: impl Fn() -> bool) {
        let now = self.now();
        for record in self.writers.iter().flat_map(|writer| &writer.records) {
            match backend.get(&record.key, now).await {
                Ok(entry) => assert_eq!(entry.map(Written::from), live(record.known.as_ref(), now).cloned()),
                Err(StoreError::Unavailable(_)) if is_off() => return,
                Err(error) => panic!("a record cannot be read: {error}"),
            }
        }
    }

    /// Holds what is left against what may be left, and goes on from there. The error says what must not be.
    pub(crate) fn compare(&mut self, mut left: BTreeMap<String, Written>) -> Result<Fates, String> {
        let (now, mut fates) = (self.now(), Fates::default());
        for record in self.writers.iter_mut().flat_map(|writer| &mut writer.records) {
            record.compare(left.remove(record.key.as_str()), now, &mut fates)?;
        }
        if let Some(stranger) = left.keys().next() {
            return Err(format!("{stranger} is there, and nobody has written it"));
        }
        Ok(fates)
    }
}

impl Record {
    fn new(writer: usize, record: usize) -> Self {
        Self { key: Key::new("grant", &format!("{writer}-{record}")), known: None, in_doubt: None }
    }

    fn compare(&mut self, left: Option<Written>, now: Timestamp, fates: &mut Fates) -> Result<(), String> {
        // What has ended may have been swept.
        let may_be =
            |state: &Option<Written>| *state == left || left.is_none() && live(state.as_ref(), now).is_none();
        let as_known = may_be(&self.known);
        match self.in_doubt.take() {
            Some(Unanswered(next)) if may_be(&next) => fates.kept += u64::from(!as_known),
            in_doubt if as_known => fates.lost += u64::from(in_doubt.is_some()),
            in_doubt => {
                let (key, known) = (self.key.as_str(), about(self.known.as_ref()));
                let (left, in_doubt) =
                    (about(left.as_ref()), in_doubt.map(|Unanswered(next)| about(next.as_ref())));
                return Err(format!("{key} is {left}; answered: {known}; not answered: {in_doubt:?}"));
            }
        }
        self.known = left;
        Ok(())
    }
}

fn about(state: Option<&Written>) -> String {
    state.map_or("absent".to_owned(), |Written { version, end, value }| {
        let begin = &value[..value.len().min(4)];
        format!("version {version}, end {}, {} bytes {begin:x?}…", end.as_millis(), value.len())
    })
}

impl From<Entry> for Written {
    fn from(entry: Entry) -> Self {
        Self { version: entry.version.0, end: entry.expires_at, value: entry.value.to_vec() }
    }
}

impl Writer {
    async fn run(&mut self, backend: &FileBackend) -> Ran {
        for answered in 0..MOST_STEPS {
            if let Err(error) = self.step(backend).await {
                assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                return Ran { answered, failed: true };
            }
        }
        Ran { answered: MOST_STEPS, failed: false }
    }

    fn new_state(&mut self, version: u64, now: Timestamp) -> Written {
        let most = *self.random.one_of(&LENGTHS);
        let length = usize::try_from(self.random.below(most + 1)).unwrap();
        // Some end while the test runs, some do not.
        let lifetime = *self.random.one_of(&[20, 60, 100_000]);
        Written { version, end: now.plus(Duration::from_secs(lifetime)), value: self.random.bytes(length) }
    }

    /// One write of one record. Its answer has to be right; what it may have done is noted before.
    async fn step(&mut self, backend: &FileBackend) -> Result<(), StoreError> {
        let elapsed = self.random.below(200);
        let now = Timestamp::from_millis(self.clock.fetch_add(elapsed, Ordering::SeqCst) + elapsed);
        let index = usize::try_from(self.random.below(self.records.len() as u64)).unwrap();
        let key = self.records[index].key.clone();
        let known = live(self.records[index].known.as_ref(), now).cloned();
        let kind = self.random.below(10);
        let next = match (kind, &known) {
            (0..4, None) => Some(self.new_state(Version::FIRST.0, now)),
            (4..8, Some(known)) => Some(self.new_state(known.version + 1, now)),
            (0..4, Some(_)) | (4..8, None) => known.clone(),
            _ => None,
        };
        self.records[index].in_doubt = Some(Unanswered(next.clone()));
        let offered = next.clone().unwrap_or_else(|| self.new_state(1, now));
        let value = Bytes::from(offered.value);
        match kind {
            0..4 => {
                let inserted = backend.insert(&key, value, offered.end, now).await?;
                assert_eq!(inserted, known.is_none());
            }
            4..8 => {
                let expected = known.as_ref().map_or(Version::FIRST, |known| Version(known.version));
                let swap = backend.swap(&key, expected, value, offered.end, now).await?;
                assert_eq!(swap, known.as_ref().map_or(Swap::Missing, |_| Swap::Done(expected.next())));
            }
            8 => assert_eq!(backend.take(&key, now).await?.map(Written::from), known),
            _ => assert_eq!(backend.delete(&key, now).await?, known.is_some()),
        }
        let record = &mut self.records[index];
        record.in_doubt = None;
        // What had ended before and was not touched may still be in the file.
        if next != known {
            record.known = next;
        }
        Ok(())
    }
}
