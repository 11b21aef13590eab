//! Which chip answers a prompt.

use std::sync::Arc;

use geosam_core::{BoundingBox, ChipRecord, CrsTransform, Error, PixelPrompt, PromptSet, Result, WorldPoint};
use rstar::RTree;
use rstar::primitives::{GeomWithData, Rectangle};

type Entry = GeomWithData<Rectangle<[f64; 2]>, usize>;

/// Chips of one CRS by where they are.
#[derive(Debug)]
pub(crate) struct ChipIndex {
    chips: Vec<Arc<ChipRecord>>,
    tree: RTree<Entry>,
}

impl ChipIndex {
    pub(crate) fn new(chips: Vec<Arc<ChipRecord>>) -> Self {
        let entry = |(index, chip): (usize, &Arc<ChipRecord>)| {
            let b = chip.grid.bounds();
            Entry::new(Rectangle::from_corners([b.left, b.bottom], [b.right, b.top]), index)
        };
        let tree = RTree::bulk_load(chips.iter().enumerate().map(entry).collect());
        Self { chips, tree }
    }

    pub(crate) fn chips(&self) -> &[Arc<ChipRecord>] {
        &self.chips
    }

    /// Among the chips that cover the prompt, which is in the chips' CRS, the one whose centre is nearest to the
    /// prompt's, the first of equals; with the prompt in its pixels. With a mask only the chip that it belongs to.
    ///
    /// # Errors
    /// [`Error::NotCovered`], naming the nearest chip; [`Error::InvalidArgument`] if the mask's chip does not cover it.
    pub(crate) fn find(&self, prompt: &PromptSet, crs: &dyn CrsTransform) -> Result<(usize, PixelPrompt)> {
        let (bounds, center) = (prompt.bounds(), prompt.center());
        let covers = |entry: &&Entry| {
            let [lower, upper] = [entry.geom().lower(), entry.geom().upper()];
            lower[0] <= bounds.left && lower[1] <= bounds.bottom && upper[0] >= bounds.right && upper[1] >= bounds.top
        };
        let mut candidates: Vec<(f64, usize)> = self
            .tree
            .locate_all_at_point([bounds.left, bounds.bottom])
            .filter(covers)
            .filter(|entry| prompt.mask_chip().is_none_or(|chip| self.chips[entry.data].grid == *chip))
            .map(|entry| (squared_distance(self.chips[entry.data].grid.bounds().center(), center), entry.data))
            .collect();
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, index) in candidates {
            // The bounds of a rotated chip reach past it, and on its very edge a prompt may round off the pixels.
            match self.chips[index].grid.to_pixel_prompt(prompt, crs) {
                Ok(pixels) => return Ok((index, pixels)),
                Err(Error::OutOfBounds { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if prompt.mask_chip().is_some() {
            return Err(prompt.mask_elsewhere());
        }
        Err(self.not_covered(&bounds, center, crs))
    }

    fn not_covered(&self, bounds: &BoundingBox, center: WorldPoint, crs: &dyn CrsTransform) -> Error {
        let hint = match self.tree.nearest_neighbor([center.x, center.y]) {
            Some(entry) => hint(&self.chips[entry.data], bounds, center, crs),
            None => "there are no chips".to_string(),
        };
        let prompt = match &bounds.crs {
            Some(crs) if bounds.width() == 0.0 && bounds.height() == 0.0 => {
                format!("{}, {} ({crs})", bounds.left, bounds.bottom)
            }
            _ => bounds.to_string(),
        };
        Error::NotCovered { prompt, hint }
    }
}

/// Why the nearest chip does not answer the prompt.
fn hint(chip: &ChipRecord, prompt: &BoundingBox, center: WorldPoint, crs: &dyn CrsTransform) -> String {
    let (id, b) = (&chip.chip_id, chip.grid.bounds());
    if prompt.width() > b.width() || prompt.height() > b.height() {
        return format!(
            "it is {} × {} and the nearest chip, {id}, {} × {}; ask for less, or encode larger chips",
            prompt.width(),
            prompt.height(),
            b.width(),
            b.height()
        );
    }
    let nearest = WorldPoint::new(center.x.clamp(b.left, b.right), center.y.clamp(b.bottom, b.top));
    let distance = squared_distance(nearest, center).sqrt();
    if distance == 0.0 {
        return format!("it crosses the edge of the nearest chip, {id}; encode with a smaller stride");
    }
    let unit = match crs.describe(&chip.grid.crs) {
        Ok(description) if description.is_geographic => "degrees".to_string(),
        Ok(description) if description.metres_per_unit == Some(1.0) => "m".to_string(),
        _ => format!("units of {}", chip.grid.crs),
    };
    format!("the nearest chip, {id}, is {distance:.6} {unit} to the {}", direction(center, nearest))
}

/// The compass point of `to` as seen from `from`, in eighths.
fn direction(from: WorldPoint, to: WorldPoint) -> &'static str {
    const EIGHTHS: [&str; 8] =
        ["east", "north-east", "north", "north-west", "west", "south-west", "south", "south-east"];
    let angle = (to.y - from.y).atan2(to.x - from.x);
    EIGHTHS[(angle / std::f64::consts::FRAC_PI_4).round().rem_euclid(8.0) as usize % 8]
}

fn squared_distance(a: WorldPoint, b: WorldPoint) -> f64 {
    (a.x - b.x).powi(2) + (a.y - b.y).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compass_points() {
        let from = WorldPoint::new(10.0, 10.0);
        let expected =
            [((11.0, 10.0), "east"), ((5.0, 5.0), "south-west"), ((10.0, 9.0), "south"), ((9.0, 10.0), "west")];
        for ((x, y), name) in expected {
            assert_eq!(direction(from, WorldPoint::new(x, y)), name);
        }
    }
}
