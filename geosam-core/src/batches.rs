//! As much at once as a device's memory holds.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Does `work` on all of `items`, in order, on `most` at a time. Where [`Error::TooLarge`] says that they are too many, it does
/// it again on half of them: `most` is that half from then on, for everybody who shares it, and `halved` is told how many there
/// were and how many there will be.
///
/// # Errors
/// What `work` returns, [`Error::TooLarge`] only of a single item.
pub fn in_batches<T, R>(
    items: &[T],
    most: &AtomicUsize,
    work: impl Fn(&[T]) -> Result<Vec<R>>,
    halved: impl Fn(usize, usize),
) -> Result<Vec<R>> {
    let mut results = Vec::with_capacity(items.len());
    let mut left = items;
    while !left.is_empty() {
        let (together, rest) = left.split_at(most.load(Ordering::SeqCst).clamp(1, left.len()));
        match work(together) {
            Err(Error::TooLarge { .. }) if together.len() > 1 => {
                let half = together.len() / 2;
                most.fetch_min(half, Ordering::SeqCst);
                halved(together.len(), half);
            }
            result => {
                results.extend(result?);
                left = rest;
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_is_too_much_is_halved_and_stays_so() {
        let (most, asked, told) = (AtomicUsize::new(16), RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let double = |holds: usize| {
            let (asked, told) = (&asked, &told);
            let work = move |items: &[u32]| {
                asked.borrow_mut().push(items.len());
                let too_many =
                    Error::TooLarge { what: "doubling".into(), found: "n".into(), limit: "m".into(), remedy: "less" };
                if items.len() > holds { Err(too_many) } else { Ok(items.iter().map(|item| 2 * item).collect()) }
            };
            let items: Vec<u32> = (0..10).collect();
            in_batches(&items, &most, work, |from, to| told.borrow_mut().push((from, to)))
        };
        let all: Vec<u32> = (0..10).map(|item| 2 * item).collect();
        assert_eq!(double(10).unwrap(), all);
        assert_eq!(asked.take(), [10]);
        assert_eq!(double(3).unwrap(), all);
        assert_eq!((asked.take(), told.take()), (vec![10, 5, 2, 2, 2, 2, 2], vec![(10, 5), (5, 2)]));
        assert_eq!(double(2).unwrap(), all);
        assert_eq!(asked.take(), [2; 5]);
        assert!(matches!(double(0), Err(Error::TooLarge { .. })));
        assert_eq!(asked.take(), [2, 1]);
    }
}
