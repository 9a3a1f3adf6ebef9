//! What happens in a round: who is killed where, as a seed decides.

use std::fmt;

use gantry_tests::Storage;

use super::Numbers;

/// Where in a push somebody is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    /// While a file's bytes travel.
    WithinPart,
    /// All bytes are there, the commit object is not.
    BeforeCommit,
    /// The commit object is there, the row is not.
    BeforeRow,
    /// The row is there, and its publisher does not know.
    BeforeAnswer,
}

impl Point {
    pub(super) const ALL: [Self; 4] = [
        Self::WithinPart,
        Self::BeforeCommit,
        Self::BeforeRow,
        Self::BeforeAnswer,
    ];
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WithinPart => "within a part",
            Self::BeforeCommit => "between last part and commit object",
            Self::BeforeRow => "between commit object and row",
            Self::BeforeAnswer => "between row and answer",
        })
    }
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Victim {
    Client,
    ControlPlane,
    S3Server,
}

/// One round.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Its number; the version's last part.
    pub(super) round: u64,
    pub(super) storage: Storage,
    pub(super) point: Point,
    pub(super) victim: Victim,
    /// Whether the client lives on when the control plane is killed, and has to finish by itself.
    pub(super) client_goes_on: bool,
    /// Whether a version that is not there afterwards is never pushed again.
    pub(super) abandoned: bool,
    /// Decides between the steps that a point has.
    pub(super) step: u64,
    /// Sizes of the two files, bytes.
    pub(super) sizes: [u64; 2],
    /// Whatever else must be chosen.
    pub(super) numbers: Numbers,
}

impl Plan {
    /// The plan of a round. The points take turns, so that each has its share.
    pub(super) fn draw(seed: u64, round: u64, storage: Storage) -> Self {
        let mut numbers = Numbers(seed ^ round.wrapping_mul(0xd1b5_4a32_d192_ed03));
        let turn = usize::try_from(round % 4).unwrap();
        let (client, control_plane) = (Victim::Client, Victim::ControlPlane);
        let victim = match storage {
            Storage::Local => numbers.one_of(&[client, control_plane, control_plane]),
            _ => numbers.one_of(&[client, control_plane, control_plane, Victim::S3Server]),
        };
        // Several parts, of the size that the storage takes; S3 has another way for what fits into one.
        let least = match storage {
            Storage::Local => [1_500_000; 2],
            _ => [(5 << 20) + 1, 200_000],
        };
        Self {
            round,
            storage,
            point: Point::ALL[turn],
            victim,
            client_goes_on: numbers.below(2) == 0,
            abandoned: numbers.below(2) == 0,
            step: numbers.below(3),
            sizes: least.map(|least| least + numbers.below(400_000)),
            numbers,
        }
    }

    pub(super) fn version(&self) -> String {
        format!("1.0.{}", self.round)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (round, victim, point) = (self.round, self.victim, self.point);
        let goes_on = if self.client_goes_on {
            ", the client goes on"
        } else {
            ""
        };
        write!(
            f,
            "round {round}: {victim:?} dies {point} (step {}){goes_on}",
            self.step
        )
    }
}
