//! Named steps at which a test has the process die, so that it can see what a crash at that step leaves behind. Without
//! the cargo feature `failpoint`, which no release has, nothing of it is in the program.

/// Says that the process has come to the step `name`; does nothing.
#[cfg(not(feature = "failpoint"))]
#[inline]
pub fn reach(_name: &'static str) {}

/// Says that the process has come to the step `name`. If `VOUCHSAFE_FAILPOINT` holds that name, the process ends there
/// by [`std::process::abort`]: no destructor runs, nothing is flushed, no socket is closed in order. `name:N` has it end
/// when it comes there for the N-th time; an N that is no number counts as 1. The variable is read once.
#[cfg(feature = "failpoint")]
pub fn reach(name: &'static str) {
    use std::sync::OnceLock;

    static ARMED: OnceLock<Option<Failpoint>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("VOUCHSAFE_FAILPOINT").ok()?;
        Some(Failpoint::parse(&text))
    });
    if armed.as_ref().is_some_and(|failpoint| failpoint.is_due(name)) {
        std::process::abort();
    }
}

/// The step at which the process dies, and how often it may still come there, that time included.
#[cfg(any(feature = "failpoint", test))]
struct Failpoint {
    name: String,
    left: std::sync::atomic::AtomicU64,
}

#[cfg(any(feature = "failpoint", test))]
impl Failpoint {
    fn parse(text: &str) -> Self {
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        Self {
            name: name.to_owned(),
            left: times.parse().unwrap_or(1).into(),
        }
    }

    fn is_due(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, std::sync::atomic::Ordering::AcqRel) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_due_once_and_when_its_time_comes() {
        let first = Failpoint::parse("refresh.before_commit");
        assert!(!first.is_due("refresh.after_commit"));
        assert!(first.is_due("refresh.before_commit"));
        let third = Failpoint::parse("sweep.before_commit:3");
        let due: Vec<bool> = (0..5).map(|_| third.is_due("sweep.before_commit")).collect();
        assert_eq!(due, [false, false, true, false, false]);
    }
}
