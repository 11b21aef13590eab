//! SAM-family models of geosam, in burn.
//!
//! [`load_model`] opens a checkpoint, whatever it is called and whoever wrote it, and returns a [`Sam`], which is a
//! [`Segmenter`](geosam_core::Segmenter): it encodes chips and opens sessions that answer prompts from the features.
//!
//! | module | what it holds | after |
//! |---|---|---|
//! | `checkpoint` | tensors of `.pt`, `.pth` and `.safetensors` files under official names; [`recognise`] | |
//! | `weights` | strict loading: every misfit is named | |
//! | `preprocess` | chips to the network's square input, in both modes of [`geosam_core::Preprocess`] | `ResizeLongestSide`, Pillow, OpenCV |
//! | `segmenter` | [`Sam`], the model of any family, and its sessions | `predictor.py`, `sam2_image_predictor.py` |
//! | `sam` | image encoders of SAM (ViT-Det) and MobileSAM (TinyViT) | `segment_anything/modeling`, `tiny_vit_sam.py` |
//! | `sam2` | image encoder of SAM 2 and 2.1: Hiera, pyramid | `sam2/modeling/backbones` |
//! | `sam3` | image encoder of SAM 3 and 3.1 for clicks: Perception Encoder, neck | `sam3/model/{vitdet,necks}.py` |
//! | `decoder` | prompt encoder, two-way transformer, mask decoder: one for all families | `segment_anything/modeling`, `sam2/modeling/sam` |
//! | `nn` | layers that all of them use | |
//! | `kernels` | CPU kernels where burn is slow; each falls through to burn elsewhere | |
//! | `device`, `runtime_panic` | [`DeviceChoice`]: the CPU and GPUs, which of them work, and what they report | |
//! | `postprocess` | logits to masks at the chip's resolution | |
//! | `train` | training and fine-tuning (feature `train`) | "Segment Anything", appendix A |
//! | [`profile`] | where the time goes, operator by operator | |
//!
//! # Example
//!
//! A small model with random weights; with a checkpoint it is `load_model("sam_b.pt", &ModelOptions::default())?`.
//!
//! ```
//! use geosam_core::{Label, ModelImage, PixelPoint, PixelPrompt, PredictOptions, Segmenter, Shape};
//! use geosam_models::{ModelOptions, Sam, SamConfig};
//!
//! let model = Sam::random(&SamConfig::small(), 0, &ModelOptions::default())?;
//! let chip = ModelImage::new(Shape::new(96, 128), vec![90; 3 * 96 * 128])?;
//! let features = model.encode(&[chip])?;
//!
//! let session = model.open(&features[0])?;
//! let click = PixelPrompt {
//!     points: vec![PixelPoint::new(64.0, 48.0)],
//!     labels: vec![Label::Foreground],
//!     ..PixelPrompt::default()
//! };
//! let answers = session.predict(&[click], PredictOptions { multimask: true })?;
//! assert_eq!(answers[0].masks.len(), 3);
//! assert_eq!(answers[0].masks.shape(), Shape::new(96, 128));
//! # Ok::<(), geosam_core::Error>(())
//! ```

mod checkpoint;
mod decoder;
mod device;
#[cfg(test)]
mod golden;
mod image_features;
mod kernels;
mod load;
mod nn;
mod postprocess;
mod preprocess;
pub mod profile;
mod random_checkpoint;
mod runtime_panic;
mod sam;
mod sam2;
mod sam3;
mod segmenter;
#[cfg(feature = "train")]
pub mod train;
mod weights;

pub use checkpoint::{Checkpoint, Container, Layout, RandomWeights, Recognised, recognise, write_checkpoint};
pub use device::DeviceChoice;
#[cfg(feature = "nano")]
pub use load::load_nano;
pub use load::{ModelOptions, load_model};
#[doc(hidden)]
pub use preprocess::network_input;
pub use random_checkpoint::write_random_checkpoint;
pub use sam::{TinyVitConfig, VitConfig};
pub use sam2::HieraConfig;
pub use sam3::PerceptionEncoderConfig;
pub use segmenter::{ImageEncoderConfig, Sam, SamConfig};
pub use weights::TensorSource;
