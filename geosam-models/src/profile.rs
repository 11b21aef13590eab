//! Where the time of a model goes, operator by operator.
//!
//! Operators of a CPU are timed on the thread that calls the model; what they spread over other threads is in their
//! time. On other devices operators only start here, and their times say little.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};

thread_local! {
    static OPERATORS: RefCell<Option<Vec<Operator>>> = const { RefCell::new(None) };
}

/// One kind of operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// What it is, with the sizes that tell it from others of its kind, e.g. `linear 768 → 2304`.
    pub name: String,
    /// How often it was called.
    pub calls: usize,
    /// Time of all calls together.
    pub time: Duration,
    /// Floating-point operations of all calls together, a multiplication and an addition counted as two; zero for what
    /// moves data or works on single elements.
    pub operations: f64,
}

/// What [`profile`] saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Time from start to end.
    pub total: Duration,
    /// Kinds of operators, the longest first; the last is `other`, the rest of the total.
    pub operators: Vec<Operator>,
}

/// Runs `work` on this thread and tells where the time went.
///
/// ```
/// use geosam_models::profile::profile;
///
/// let (sum, profile) = profile(|| (1..=10).sum::<u32>());
/// assert_eq!(sum, 55);
/// assert_eq!(profile.operators.last().unwrap().name, "other");
/// ```
pub fn profile<T>(work: impl FnOnce() -> T) -> (T, Profile) {
    let outer = OPERATORS.replace(Some(Vec::new()));
    let start = Instant::now();
    let result = work();
    let total = start.elapsed();
    let mut operators = OPERATORS.replace(outer).unwrap_or_default();
    operators.sort_by_key(|operator| std::cmp::Reverse(operator.time));
    let known: Duration = operators.iter().map(|operator| operator.time).sum();
    operators.push(Operator {
        name: "other".to_string(),
        calls: 1,
        time: total.saturating_sub(known),
        operations: 0.0,
    });
    (result, Profile { total, operators })
}

/// Runs an operator, and counts it if somebody wants to know. `describe` gives its name and the operations of the call.
pub(crate) fn operator<T>(describe: impl FnOnce() -> (String, f64), run: impl FnOnce() -> T) -> T {
    if OPERATORS.with_borrow(Option::is_none) {
        return run();
    }
    let start = Instant::now();
    let result = run();
    let time = start.elapsed();
    let (name, operations) = describe();
    OPERATORS.with_borrow_mut(|operators| {
        let Some(operators) = operators else { return };
        match operators.iter_mut().find(|operator| operator.name == name) {
            Some(operator) => {
                operator.calls += 1;
                operator.time += time;
                operator.operations += operations;
            }
            None => operators.push(Operator { name, calls: 1, time, operations }),
        }
    });
    result
}

impl Profile {
    /// The table with one more column: the share, in per cent, of `peak` GFLOP/s.
    pub fn beside_peak(&self, peak: f64) -> impl Display {
        fmt::from_fn(move |f| self.table(f, Some(peak)))
    }

    fn table(&self, f: &mut fmt::Formatter<'_>, peak: Option<f64>) -> fmt::Result {
        write!(f, "{:<36}{:>6}{:>12}{:>8}{:>10}", "operator", "calls", "ms", "%", "GFLOP/s")?;
        writeln!(f, "{}", if peak.is_some() { "  % of peak" } else { "" })?;
        let mut line = |name: &str, calls: usize, time: Duration, operations: f64| {
            let seconds = time.as_secs_f64();
            let share = 100.0 * seconds / self.total.as_secs_f64();
            write!(f, "{name:<36}{calls:>6}{:>12.1}{share:>8.1}", 1e3 * seconds)?;
            if operations > 0.0 {
                let rate = 1e-9 * operations / seconds;
                write!(f, "{rate:>10.1}")?;
                peak.map_or(Ok(()), |peak| write!(f, "{:>11.0}", 100.0 * rate / peak))?;
            }
            writeln!(f)
        };
        for operator in &self.operators {
            line(&operator.name, operator.calls, operator.time, operator.operations)?;
        }
        line("total", 1, self.total, self.operators.iter().map(|operator| operator.operations).sum())
    }
}

impl Display for Profile {
    /// A table: operator, calls, milliseconds, share of the total, GFLOP/s.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(f, None)
    }
}
