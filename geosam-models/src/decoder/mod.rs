//! Prompt encoder and mask decoder, one for all families. Between them the networks differ in what [`Generation`] says.

mod mask_decoder;
mod prompt_encoder;
mod transformer;

pub(crate) use mask_decoder::{HighResTokens, MASK_UPSCALING, MaskDecoder};
pub(crate) use prompt_encoder::{PromptEncoder, PromptToken};
pub(crate) use transformer::{ImageTokens, TwoWayTransformerConfig};

/// Which decoder a model has.
///
/// | | `Sam` | `Sam2` |
/// |---|---|---|
/// | models | SAM, MobileSAM | SAM 2, 2.1, 3, 3.1 |
/// | corners of a box | after the points | before the points |
/// | token that stands for no point | where there are points and no box | where there are points or a box |
/// | output tokens | IoU, four masks | object score, IoU, four masks |
/// | high-resolution features | | added while upscaling |
/// | predicted IoU | as it comes | through a sigmoid |
/// | one mask asked for | the first | the first if it is stable, else the best of the others |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// SAM's.
    Sam,
    /// SAM 2's.
    Sam2,
}
