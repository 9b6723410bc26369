//! Where a run reads and writes: the process's own streams, or buffers in a test.

use std::io::{self, IsTerminal, Read, Write};

use super::{Exit, failure::Failure};

/// The streams of a run.
pub struct Terminal {
    /// Answers.
    pub out: Box<dyn Write + Send>,
    /// Complaints.
    pub err: Box<dyn Write + Send>,
    /// Documents, for `-f -`.
    pub input: Box<dyn Read + Send>,
    /// Whether complaints may be coloured.
    pub colour: bool,
}

impl Terminal {
    /// The streams of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out: Box::new(io::stdout()), err: Box::new(io::stderr()), input: Box::new(io::stdin()), colour }
    }

    /// Says what is wrong with the arguments, or shows the help that was asked for.
    pub(super) fn show_usage(&mut self, error: &clap::Error) -> Exit {
        let (stream, exit): (&mut dyn Write, Exit) =
            if error.use_stderr() { (&mut self.err, Exit::Usage) } else { (&mut self.out, Exit::Done) };
        let text = error.render();
        let written = if self.colour { write!(stream, "{}", text.ansi()) } else { write!(stream, "{text}") };
        // Nothing can be said on a stream that is closed; the exit code still says it.
        if written.is_ok() { exit } else { Exit::Usage }
    }

    /// Says why a verb was not done.
    pub(super) fn show_failure(&mut self, failure: &Failure) -> Exit {
        if let Failure::Output(error) = failure
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // The reader has seen enough, as in `hedgerow members | head -1`.
            return Exit::Done;
        }
        match writeln!(self.err, "{}", failure.render(self.colour)) {
            Ok(()) => failure.exit(),
            Err(_) => Exit::Failed,
        }
    }
}
