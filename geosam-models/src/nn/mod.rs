//! Layers that the models share. Fields are named as checkpoint keys, weights keep PyTorch's axis order.

mod activation;
mod conv2d;
mod layer_norm;
mod linear;
mod mlp;
mod patch_embed;
mod pixel_split;
mod token_conv;
mod vit_block;

pub(crate) use activation::Activation;
/// `assert_shape!(x, [batch, _, 256])` panics where a shape is not what the code believes, naming the axis.
pub(crate) use burn::tensor::assert_shape;
pub(crate) use conv2d::{Conv2d, Conv2dConfig};
pub(crate) use layer_norm::{LayerNorm, LayerNorm2d};
pub(crate) use linear::Linear;
pub(crate) use mlp::Mlp;
pub(crate) use patch_embed::PatchEmbed;
pub(crate) use pixel_split::{PixelSplit, nest, nest_twice, unnest, unnest_twice};
pub(crate) use token_conv::TokenConv;
pub(crate) use vit_block::{Attention, AttentionPosition, RelativePosition, RotaryPosition, VitBlock};
