//! The log of this test process, kept so that tests can look for what must not be in it.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Kept;

    fn make_writer(&'a self) -> Kept {
        self.clone()
    }
}

static LOG: OnceLock<Kept> = OnceLock::new();

/// Everything logged in this process since the first call, at the finest level.
pub fn captured_logs() -> String {
    let kept = LOG.get_or_init(|| {
        let kept = Kept::default();
        let log = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(kept.clone());
        let _ = log.try_init();
        kept
    });
    String::from_utf8_lossy(&kept.0.lock().unwrap()).into_owned()
}
