//! What was found, against what is there.
//!
//! Objects count from [`MIN_AREA`] pixels on. One is found if a mask has an IoU of at least [`FOUND`] with it; what else has
//! that IoU with the same object, and with no other a larger one, is a duplicate. Objects that cross the border of a chip, which is
//! where chips overlap every second half, are set against those that do not.

use std::fmt;

use geosam::Window;

use crate::scene::Object;

const MIN_AREA: usize = 400;
const FOUND: f64 = 0.7;

/// The masks of a search.
#[derive(Debug)]
pub(crate) struct Found {
    /// Each with its window of the scene, by rows.
    pub(crate) masks: Vec<(Window, Vec<bool>)>,
    /// Columns and rows at which a chip ends inside the scene.
    pub(crate) borders: [Vec<i64>; 2],
    pub(crate) points: usize,
    pub(crate) most_waiting: usize,
    pub(crate) seconds: f64,
    /// Peak resident memory in bytes, of a process of its own.
    pub(crate) peak: Option<u64>,
}

/// Objects of one sort.
#[derive(Debug, Default)]
struct Group {
    objects: usize,
    found: usize,
    iou: f64,
}

impl Group {
    fn add(&mut self, iou: f64) {
        self.objects += 1;
        self.found += usize::from(iou >= FOUND);
        self.iou += iou;
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.objects.max(1) as f64;
        write!(f, "{} | {:.3} | {:.3}", self.objects, self.found as f64 / count, self.iou / count)
    }
}

#[derive(Debug)]
pub(crate) struct Score {
    all: Group,
    crossing: Group,
    others: Group,
    /// Mean IoU of those that were found: crossing, others.
    of_found: [f64; 2],
    masks: usize,
    duplicates: usize,
    points: usize,
    most_waiting: usize,
    seconds: f64,
    peak: Option<u64>,
    /// One line for each object that was not found.
    pub(crate) missed: Vec<String>,
}

impl Score {
    pub(crate) const HEADER: &'static str = "| chips | objects | found | IoU | across borders | found | IoU | others \
        | found | IoU | IoU of found: across, others | masks | duplicates | points | waiting | seconds | peak memory |\n\
        |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

    pub(crate) fn of(objects: &[Object], found: &Found) -> Self {
        let objects: Vec<_> = objects.iter().filter(|object| object.area >= MIN_AREA).collect();
        let areas: Vec<_> = found.masks.iter().map(|(_, mask)| mask.iter().filter(|on| **on).count()).collect();
        let (mut best, mut closest) = (vec![0.0_f64; objects.len()], vec![(0.0_f64, 0); found.masks.len()]);
        for (number, object) in objects.iter().enumerate() {
            for (index, (window, mask)) in found.masks.iter().enumerate() {
                let iou = iou((&object.window, &object.mask, object.area), (window, mask, areas[index]));
                best[number] = best[number].max(iou);
                closest[index] = if iou > closest[index].0 { (iou, number) } else { closest[index] };
            }
        }
        let mut matched = vec![0_usize; objects.len()];
        closest.iter().filter(|(iou, _)| *iou >= FOUND).for_each(|(_, number)| matched[*number] += 1);
        let [mut all, mut crossing, mut others] = [(); 3].map(|()| Group::default());
        let (mut of_found, mut missed) = ([(0.0, 0); 2], Vec::new());
        for (object, &iou) in objects.iter().zip(&best) {
            all.add(iou);
            let window = object.window;
            let crosses = found.borders[0].iter().any(|&at| window.column < at && at < window.column_end())
                || found.borders[1].iter().any(|&at| window.row < at && at < window.row_end());
            let group = if crosses { &mut crossing } else { &mut others };
            group.add(iou);
            if iou < FOUND {
                let (kind, crosses) = (object.kind, if crosses { "across a border" } else { "" });
                missed.push(format!("IoU {iou:.2}: {kind:?}, {} pixels, {window} {crosses}", object.area));
            } else {
                let sum = &mut of_found[usize::from(!crosses)];
                *sum = (sum.0 + iou, sum.1 + 1);
            }
        }
        Self {
            all,
            crossing,
            others,
            of_found: of_found.map(|(sum, count)| sum / f64::from(count.max(1))),
            masks: found.masks.len(),
            duplicates: matched.iter().map(|count| count.saturating_sub(1)).sum(),
            points: found.points,
            most_waiting: found.most_waiting,
            seconds: found.seconds,
            peak: found.peak,
            missed,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, crossing, others, of_found: [across, within], masks, duplicates, points, .. } = self;
        write!(f, "{all} | {crossing} | {others} | {across:.3}, {within:.3} | {masks} ")?;
        write!(f, "| {duplicates} ({:.2} %) ", 100.0 * *duplicates as f64 / (*masks).max(1) as f64)?;
        write!(f, "| {points} | {} | {:.0} | ", self.most_waiting, self.seconds)?;
        match self.peak {
            Some(bytes) => write!(f, "{} MB", bytes / 1_000_000),
            None => f.write_str("–"),
        }
    }
}

type Region<'a> = (&'a Window, &'a [bool], usize);

fn iou((window_a, a, area_a): Region<'_>, (window_b, b, area_b): Region<'_>) -> f64 {
    let (left, right) = (window_a.column.max(window_b.column), window_a.column_end().min(window_b.column_end()));
    let (top, bottom) = (window_a.row.max(window_b.row), window_a.row_end().min(window_b.row_end()));
    if left >= right || top >= bottom {
        return 0.0;
    }
    let line = |window: &Window, row: i64| {
        let start = (row - window.row) as usize * window.shape.width + (left - window.column) as usize;
        start..start + (right - left) as usize
    };
    let shared: usize = (top..bottom)
        .map(|row| {
            let (a, b) = (&a[line(window_a, row)], &b[line(window_b, row)]);
            a.iter().zip(b).filter(|(a, b)| **a && **b).count()
        })
        .sum();
    shared as f64 / (area_a + area_b - shared) as f64
}
