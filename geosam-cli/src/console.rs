//! What the user sees: results on stdout, progress and errors on stderr.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use geosam::{Error, Progress, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// One line on stderr: the cause and the remedy.
pub(crate) fn print_error(error: &Error) {
    let line = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("error: {line}");
}

/// One line on stderr: what the user may want to know, though it is no error.
pub(crate) fn print_note(note: &str) {
    eprintln!("note: {}", note.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// Help and version on stdout; a command line that does not parse as one line on stderr.
pub(crate) fn print_usage_error(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !error.use_stderr() {
        print_line(text.trim_end());
        return ExitCode::SUCCESS;
    }
    // The paragraph with the cause; the usage that follows is what --help says better.
    let cause = text.split("\n\n").next().unwrap_or(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("{cause}; see --help");
    ExitCode::FAILURE
}

/// One line, or one JSON object, on stdout. A closed pipe is not an error: the reader has seen enough.
pub(crate) fn print_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// One JSON object on stdout.
pub(crate) fn print_json(value: &serde_json::Value) {
    print_line(&value.to_string());
}

/// Time between two lines where nobody sees a bar.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// A progress bar on stderr, or a line every half minute where that is no terminal; Ctrl-C asks the work to stop after the
/// chip at hand.
#[derive(Debug)]
pub(crate) struct Terminal {
    bar: ProgressBar,
    /// When the last line was printed, or the work begun.
    line: Mutex<Instant>,
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

impl Terminal {
    /// # Errors
    /// [`Error::Unsupported`] if the interrupt handler cannot be set.
    pub(crate) fn start(what: &str) -> Result<Self> {
        ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                // The second Ctrl-C does not wait; files are written by rename, so none is left half-written.
                std::process::exit(130);
            }
        })
        .map_err(|error| Error::Unsupported { what: "stopping with Ctrl-C".to_string(), reason: error.to_string() })?;
        let bar = ProgressBar::new(1000);
        let style =
            ProgressStyle::with_template("{prefix} [{bar:40}] {percent:>3} %  {elapsed} elapsed, {eta} left  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(what.to_string());
        Ok(Self { bar, line: Mutex::new(Instant::now()) })
    }
}

impl Progress for Terminal {
    fn set_progress(&self, percent: f64) {
        self.bar.set_position((percent * 10.0).round() as u64);
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bar.is_hidden() && line.elapsed() >= LINE_INTERVAL {
            *line = Instant::now();
            eprintln!("{}: {percent:.1} % after {:.0} s", self.bar.prefix(), self.bar.elapsed().as_secs_f64());
        }
    }

    fn push_info(&self, message: &str) {
        self.bar.set_message(message.to_string());
    }

    fn is_canceled(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
