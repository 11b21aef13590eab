//! Answer one prompt from a chip file, in pixels of the chip, with a mask prompt if there is one.
//!
//! ```text
//! predict_chip CHECKPOINT CHIP.pt OUT [--point=COLUMN,ROW,LABEL …] [--box=LEFT,TOP,RIGHT,BOTTOM] [--mask=FILE] [--multimask]
//! ```
//!
//! `--mask` holds logits of an earlier answer, square, f32 little-endian. `OUT` receives the tensors of the answer as
//! safetensors: `low_res` `[n, side, side]` f32, `masks` `[n, height, width]` u8 and `scores` `[n]` f32; the parity checks
//! compare them with Python geosam's.

use std::error::Error;
use std::path::Path;

use geosam_core::{
    EncodedImageFeatures, Label, MaskPrompt, PixelBox, PixelPoint, PixelPrompt, PredictOptions, Segmenter, Shape,
};
use geosam_models::{ModelOptions, load_model};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, positional): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let [checkpoint, chip, out] = &positional[..] else {
        return Err("usage: predict_chip CHECKPOINT CHIP.pt OUT [PROMPTS]".into());
    };
    let (mut prompt, mut options) = (PixelPrompt::default(), PredictOptions::default());
    for flag in &flags {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("--point", point) => {
                let [column, row, label] = numbers(point)?;
                prompt.points.push(PixelPoint::new(column, row));
                prompt.labels.push(if label == 0.0 { Label::Background } else { Label::Foreground });
            }
            ("--box", edges) => {
                let [left, top, right, bottom] = numbers(edges)?;
                prompt.bbox = Some(PixelBox { left, top, right, bottom });
            }
            ("--mask", path) => prompt.mask = Some(mask(path)?),
            ("--multimask", _) => options.multimask = true,
            (name, _) => return Err(format!("there is no option {name}").into()),
        }
    }
    let features = EncodedImageFeatures::load_pt(Path::new(chip))?;
    let session = load_model(checkpoint, &ModelOptions::default())?.open(&features)?;
    let answers = session.predict(&[prompt], options)?;
    let answer = answers.first().ok_or("the prompt was not answered")?;

    let (low_res, mask) = (answer.low_res.shape, answer.masks.shape());
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (logits, scores) = (floats(&answer.low_res.values), floats(&answer.scores));
    let masks: Vec<u8> = answer.masks.values().iter().map(|on| u8::from(*on)).collect();
    let n = answer.scores.len();
    let tensors = [
        ("low_res", TensorView::new(Dtype::F32, vec![n, low_res.height, low_res.width], &logits)?),
        ("masks", TensorView::new(Dtype::U8, vec![n, mask.height, mask.width], &masks)?),
        ("scores", TensorView::new(Dtype::F32, vec![n], &scores)?),
    ];
    serialize_to_file(tensors, None, Path::new(out))?;
    Ok(())
}

fn numbers<const N: usize>(list: &str) -> Result<[f64; N], Box<dyn Error>> {
    let values = list.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    <[f64; N]>::try_from(values).map_err(|values| format!("{N} numbers expected, found {}", values.len()).into())
}

fn mask(path: &str) -> Result<MaskPrompt, Box<dyn Error>> {
    let logits: Vec<f32> = std::fs::read(path)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(MaskPrompt { shape: Shape::square(logits.len().isqrt()), logits })
}
