use geosam_core::{Error, Label, Masks, ModelImage, PixelBox, PixelPoint, PixelPrompt, Shape};
use geosam_io::{OverlayStyle, draw_overlay, write_overlay};

const SHAPE: Shape = Shape::new(200, 300);
const GREY: [u8; 3] = [100, 100, 100];

fn image() -> ModelImage {
    ModelImage::new(SHAPE, GREY.repeat(SHAPE.area())).unwrap()
}

/// The left half, the edge between columns 149 and 150.
fn left_half() -> Masks {
    Masks::new(SHAPE, (0..SHAPE.area()).map(|p| p % SHAPE.width < 150).collect()).unwrap()
}

fn no_masks() -> Masks {
    Masks::new(SHAPE, Vec::new()).unwrap()
}

fn pixel(image: &ModelImage, row: usize, column: usize) -> [u8; 3] {
    image.rgb()[3 * (row * image.shape().width + column)..][..3].try_into().unwrap()
}

#[test]
fn a_mask_tints_what_it_covers_and_has_an_outline() {
    let style = OverlayStyle { mask_opacity: 0.5, mask_colors: vec![[0, 0, 200]], ..OverlayStyle::default() };
    let picture = draw_overlay(&image(), &left_half(), &[], &style).unwrap();
    assert_eq!(pixel(&picture, 100, 40), [50, 50, 150]);
    assert_eq!(pixel(&picture, 100, 260), GREY);
    assert_eq!(pixel(&picture, 100, 149), [0, 0, 200]);
    // The picture's own edge is no outline.
    assert_eq!(pixel(&picture, 100, 0), [50, 50, 150]);
    assert_eq!(pixel(&picture, 0, 40), [50, 50, 150]);
}

#[test]
fn prompts_have_their_colours() {
    let style = OverlayStyle::default();
    let prompt = PixelPrompt {
        points: vec![PixelPoint::new(60.5, 50.5), PixelPoint::new(220.5, 150.5), PixelPoint::new(-50.0, 900.0)],
        labels: vec![Label::Foreground, Label::Background, Label::Foreground],
        bbox: Some(PixelBox { left: 20.0, top: 20.0, right: 290.0, bottom: 180.0 }),
        mask: None,
    };
    let picture = draw_overlay(&image(), &no_masks(), &[prompt], &style).unwrap();
    let mean = |row: usize, column: usize| {
        let mut sum = [0_u32; 3];
        for (row, column) in (row - 3..=row + 3).flat_map(|row| (column - 3..=column + 3).map(move |c| (row, c))) {
            for (sum, byte) in sum.iter_mut().zip(pixel(&picture, row, column)) {
                *sum += u32::from(byte);
            }
        }
        sum
    };
    let [r, g, b] = mean(50, 60);
    assert!(g > r && g > b, "the foreground point is green: {r} {g} {b}");
    let [r, g, b] = mean(150, 220);
    assert!(r > g && r > b, "the background point is red: {r} {g} {b}");
    let [r, g, b] = pixel(&picture, 20, 150).map(u32::from);
    assert!(r > 3 * b && g > 3 * b, "the box is yellow: {r} {g} {b}");
    assert_eq!(pixel(&picture, 100, 150), GREY, "the box is not filled");
}

#[test]
fn a_picture_is_reduced_by_a_whole_factor() {
    let style = OverlayStyle { max_side: Some(120), mask_colors: vec![[0, 0, 200]], ..OverlayStyle::default() };
    let prompt = PixelPrompt {
        points: vec![PixelPoint::new(240.0, 60.0)],
        labels: vec![Label::Background],
        ..PixelPrompt::default()
    };
    let picture = draw_overlay(&image(), &left_half(), &[prompt], &style).unwrap();
    assert_eq!(picture.shape(), Shape::new(67, 100));
    assert_eq!(pixel(&picture, 33, 49), [0, 0, 200]);
    assert_eq!(pixel(&picture, 60, 70), GREY);
    assert_ne!(pixel(&picture, 20, 80), GREY);
    let larger = OverlayStyle { max_side: Some(10_000), ..OverlayStyle::default() };
    assert_eq!(draw_overlay(&image(), &no_masks(), &[], &larger).unwrap(), image());
}

#[test]
fn the_png_holds_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.PNG");
    write_overlay(&path, &image(), &left_half(), &[], &OverlayStyle::default()).unwrap();
    let png = image::load_from_memory(&std::fs::read(&path).unwrap()).unwrap().into_rgb8();
    let picture = draw_overlay(&image(), &left_half(), &[], &OverlayStyle::default()).unwrap();
    assert_eq!((png.height(), png.width()), (200, 300));
    assert_eq!(png.as_raw().as_slice(), picture.rgb());
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let draw = |masks: &Masks, style: OverlayStyle| draw_overlay(&image(), masks, &[], &style).unwrap_err();
    let small = Masks::new(Shape::square(4), vec![true; 16]).unwrap();
    let style = OverlayStyle::default;
    for error in [
        draw(&small, style()),
        draw(&left_half(), OverlayStyle { mask_opacity: 1.5, ..style() }),
        draw(&left_half(), OverlayStyle { mask_opacity: f64::NAN, ..style() }),
        draw(&left_half(), OverlayStyle { mask_colors: Vec::new(), ..style() }),
        draw(&left_half(), OverlayStyle { max_side: Some(0), ..style() }),
        write_overlay("a.jpg", &image(), &left_half(), &[], &style()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    }
}
