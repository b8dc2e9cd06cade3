//! Asking before something ends that cannot be brought back.

use std::io::{IsTerminal, Write};

use anyhow::anyhow;

use crate::cli::Failure;

/// Whether there is somebody to ask.
pub(super) fn check_somebody_is_there() -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        Ok(())
    } else {
        Err(Failure::Usage("nobody can be asked here: add --yes".to_owned()))
    }
}

/// Goes on only after a yes.
pub(super) fn ask(question: &str) -> Result<(), Failure> {
    let mut stderr = anstream::stderr();
    // Nobody is left to answer when stderr is gone.
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if read.is_ok() && yes {
        return Ok(());
    }
    Err(Failure::Failed(anyhow!("nothing was changed")))
}
