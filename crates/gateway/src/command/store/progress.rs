//! How far something is, on stderr: a bar on a terminal, elsewhere a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::grouped;

/// Between two lines where nobody sees a bar.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows one number after the other. It is gone when it is dropped.
pub(in crate::command) struct Meter {
    bar: Option<ProgressBar>,
    said: Instant,
    what: &'static str,
}

impl Meter {
    pub(in crate::command) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        Self { bar, said: Instant::now(), what: "" }
    }

    /// `what` is being done with records, and so many of about `of` are done.
    pub(in crate::command) fn show(&mut self, what: &'static str, done: u64, of: Option<u64>) {
        match &self.bar {
            Some(bar) => {
                if self.what != what {
                    bar.set_style(style(of.is_some()));
                    bar.set_message(what);
                }
                // The store only knows about how many there are.
                if let Some(of) = of {
                    bar.set_length(of.max(done));
                }
                bar.set_position(done);
            }
            None if self.said.elapsed() >= PAUSE => {
                self.said = Instant::now();
                let of = of.map(|of| format!(" of about {}", grouped(of.max(done)))).unwrap_or_default();
                // Nobody is left to tell when stderr is gone.
                let _ = writeln!(std::io::stderr(), "{what}: {}{of} records", grouped(done));
            }
            None => {}
        }
        self.what = what;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(with_length: bool) -> ProgressStyle {
    let template = if with_length {
        "{msg:<10} [{bar:30}] {human_pos} of {human_len}, {eta} left"
    } else {
        "{msg:<10} {spinner} {human_pos}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
