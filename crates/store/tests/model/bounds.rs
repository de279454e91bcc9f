//! How far a search goes: who takes part, what may fail, and how often.

/// What may go wrong, each once in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The process dies, or the database errs, before the commit.
    CrashBeforeCommit = 1,
    /// The process dies after the commit, before the answer; or it answers 503, not knowing that it committed.
    CrashAfterCommit = 2,
    /// The connection to the database is cut after the commit, and the server tries the job again.
    RepeatAfterCommit = 4,
    /// The answer does not reach the client.
    AnswerLost = 8,
}

/// How far the search goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Tabs of the honest client: one or two.
    pub(crate) tabs: usize,
    pub(crate) rotations: u8,
    /// How often the thief presents a token; without any, there is no thief.
    pub(crate) thefts: u8,
    pub(crate) faults: &'static [Fault],
    pub(crate) revoker: bool,
    /// Whether an older copy of the row is put back once.
    pub(crate) restore: bool,
}

/// One tab that asks again, a thief and every kind of crash.
pub(crate) const ROBBED: Bounds = Bounds {
    tabs: 1,
    rotations: 3,
    thefts: 2,
    faults: &[
        Fault::CrashBeforeCommit,
        Fault::CrashAfterCommit,
        Fault::AnswerLost,
    ],
    revoker: true,
    restore: false,
};

/// Two tabs that race, and every fault.
pub(crate) const RACING: Bounds = Bounds {
    tabs: 2,
    thefts: 0,
    faults: &[
        Fault::CrashBeforeCommit,
        Fault::CrashAfterCommit,
        Fault::RepeatAfterCommit,
        Fault::AnswerLost,
    ],
    ..ROBBED
};

/// Two tabs and a thief.
pub(crate) const CROWDED: Bounds = Bounds {
    tabs: 2,
    rotations: 2,
    thefts: 1,
    faults: &[Fault::AnswerLost],
    ..ROBBED
};

/// Two tabs, and a database that loses commits.
pub(crate) const RESTORED: Bounds = Bounds {
    tabs: 2,
    rotations: 3,
    thefts: 0,
    faults: &[Fault::AnswerLost],
    revoker: false,
    restore: true,
};

/// A thief, and a database that loses commits.
pub(crate) const RESTORED_AND_ROBBED: Bounds = Bounds {
    tabs: 1,
    thefts: 1,
    ..RESTORED
};

/// [`RACING`] in small, for the broken servers.
pub(crate) const FEW_TABS: Bounds = Bounds {
    rotations: 2,
    faults: &[Fault::CrashBeforeCommit, Fault::AnswerLost],
    ..RACING
};

/// [`ROBBED`] in small.
pub(crate) const FEW_THEFTS: Bounds = Bounds {
    rotations: 2,
    faults: &[Fault::CrashBeforeCommit],
    ..ROBBED
};

/// [`RESTORED`] in small.
pub(crate) const FEW_RESTORED: Bounds = Bounds {
    rotations: 2,
    ..RESTORED
};
