//! The generator of scenes: the same on every run, and its masks keep their promises.

use std::collections::BTreeSet;

use geosam::{Pixels, Shape};

use crate::end_to_end::scene::{Landscape, Object, ObjectKind, PictureStyle, Scene, SceneConfig};

fn values(scene: &Scene) -> &[u16] {
    let Pixels::U16(values) = &scene.pixels else { panic!("scenes are drawn in 16 bits") };
    values
}

/// FNV-1a.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn a_seed_gives_the_same_scene_every_time() {
    for seed in [0, 7] {
        let [a, b] = [0; 2].map(|_| Scene::draw(Shape::new(200, 256), seed).unwrap());
        assert_eq!((values(&a), &a.grid), (values(&b), &b.grid));
        let masks =
            |scene: &Scene| scene.objects.iter().map(|o| (o.kind, o.window, o.mask.clone())).collect::<Vec<_>>();
        assert_eq!(masks(&a), masks(&b));
    }
}

/// Pixels and masks of one scene, hashed on x86-64: what was trained on one machine can be checked on another. A change of
/// the generator changes them, and then models trained on its scenes should be measured again.
const HASHES: [u64; 2] = [4_513_526_878_904_627_628, 8_893_344_232_685_050_729];

#[test]
fn scenes_do_not_depend_on_the_machine() {
    let scene = Scene::draw(Shape::square(256), 12).unwrap();
    let pixels = hash(values(&scene).iter().flat_map(|v| v.to_le_bytes()));
    let masks = hash(scene.objects.iter().flat_map(|o| o.mask.iter().map(|seen| u8::from(*seen))));
    assert_eq!([pixels, masks], HASHES);
}

#[test]
fn other_seeds_give_other_scenes() {
    let hashes: BTreeSet<u64> = (1_000_000..1_000_020)
        .map(|seed| {
            let scene = Scene::draw(Shape::square(128), seed).unwrap();
            hash(values(&scene).iter().flat_map(|v| v.to_le_bytes()))
        })
        .collect();
    assert_eq!(hashes.len(), 20);
}

#[test]
fn every_object_is_one_region_within_its_window() {
    let shape = Shape::new(256, 300);
    let (mut kinds, mut objects) = (BTreeSet::new(), 0);
    for seed in 0..50 {
        let scene = Scene::draw(shape, seed).unwrap();
        assert_eq!(values(&scene).len(), Scene::BANDS * shape.area());
        assert!(values(&scene).iter().all(|value| (1..=10_000).contains(value)), "0 is nodata");
        for object in &scene.objects {
            assert_eq!(object.window.clip(shape), Some(object.window), "seed {seed}: {:?}", object.kind);
            assert_eq!(object.mask.len(), object.window.shape.area());
            assert_eq!(object.mask.iter().filter(|seen| **seen).count(), object.area);
            assert!(object.area >= Object::MIN_AREA);
            assert_eq!(connected(object), object.area, "seed {seed}: {:?} at {}", object.kind, object.window);
            let (column, row) = object.innermost();
            let (column, row) = (column - object.window.column as usize, row - object.window.row as usize);
            assert!(
                object.mask[row * object.window.shape.width + column],
                "the innermost pixel is one of the object's"
            );
            kinds.insert(object.kind);
        }
        objects += scene.objects.len();
    }
    assert!(kinds.len() >= 14, "only {kinds:?}");
    assert!(objects > 50 * 10, "{objects} objects in 50 scenes");
}

/// Number of pixels that are reached from the first one, from neighbour to neighbour.
fn connected(object: &Object) -> usize {
    let Shape { height, width } = object.window.shape;
    let mut open = object.mask.clone();
    let mut stack: Vec<usize> = open.iter().position(|seen| *seen).into_iter().collect();
    let mut reached = 0;
    while let Some(i) = stack.pop() {
        if !std::mem::take(&mut open[i]) {
            continue;
        }
        reached += 1;
        let (row, column) = (i / width, i % width);
        stack.extend((column > 0).then(|| i - 1));
        stack.extend((column + 1 < width).then_some(i + 1));
        stack.extend((row > 0).then(|| i - width));
        stack.extend((row + 1 < height).then_some(i + width));
    }
    reached
}

#[test]
fn what_lies_in_a_block_belongs_to_the_block_too() {
    for (landscape, inner, outer) in [
        (Landscape::Orchards, ObjectKind::Crown, ObjectKind::Orchard),
        (Landscape::Greenhouses, ObjectKind::Greenhouse, ObjectKind::GreenhouseBlock),
        (Landscape::Solar, ObjectKind::SolarRow, ObjectKind::SolarFarm),
    ] {
        let nested = (0..10).any(|seed| {
            let config = SceneConfig {
                gsd: Some(0.4),
                landscape: Some(landscape),
                ..SceneConfig::new(Shape::square(256), seed)
            };
            let scene = Scene::draw_with(&config).unwrap();
            let of = |kind| scene.objects.iter().filter(move |o: &&Object| o.kind == kind);
            of(inner).any(|small| {
                let (column, row) = small.innermost();
                of(outer).any(|large| large.holds(column as i64, row as i64) && large.area > small.area)
            })
        });
        assert!(nested, "{landscape:?}");
    }
}

#[test]
fn a_picture_uses_the_whole_range_of_bytes() {
    let scene = Scene::draw(Shape::square(128), 3).unwrap();
    let picture = scene.rgb(PictureStyle::default());
    assert_eq!(picture.len(), 3 * 128 * 128);
    assert_eq!((picture.iter().min(), picture.iter().max()), (Some(&0), Some(&255)));
}

#[test]
fn lakeland_has_ponds() {
    for seed in 0..20 {
        let scene = Scene::lakeland(Shape::square(512), seed).unwrap();
        let pond = scene.pond();
        let middle = scene.grid.to_pixel(scene.middle(pond));
        assert!(pond.kind.is_water() && pond.holds(middle.column as i64, middle.row as i64), "seed {seed}");
    }
}
