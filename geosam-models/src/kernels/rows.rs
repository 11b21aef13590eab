//! Work on the rows of a matrix, a few at a time, so that what lies between two steps never leaves the cache.

use rayon::prelude::*;

use super::buffer;
use super::matmul::Threads;

/// Weights of at most this many values are packed in no time: every core goes through them with its own rows.
const SMALL_WEIGHTS: usize = 1 << 18;
/// A core's own rows if nothing is packed: so few that what they become stays in the second level cache.
const UNPACKED: usize = 128;
/// Values of a core's own rows: half of a second level cache of a mebibyte.
const OWN: usize = 1 << 17;
/// Rows that all cores work on together if the weights are large; these are packed anew for each such chunk.
const SHARED: usize = 1024;

/// Values of one task of the elementwise part.
pub(super) const CHUNK: usize = 1 << 14;

/// How rows are cut into chunks.
#[derive(Clone, Copy)]
pub(super) enum Chunks {
    /// Every core works on chunks of its own, of so many rows.
    Own(usize),
    /// All cores work on one chunk after the other, of so many rows.
    Shared(usize),
}

impl Chunks {
    /// For `rows` rows that are `widest` wide at their widest, and weights of which `packed` values are packed anew for
    /// every chunk.
    pub(super) fn of(rows: usize, widest: usize, packed: usize) -> Self {
        if packed == 0 {
            return Self::Own(UNPACKED);
        }
        let own = (OWN / widest).clamp(64, SHARED);
        if packed <= SMALL_WEIGHTS && rows >= 2 * own { Self::Own(own) } else { Self::Shared(SHARED) }
    }

    /// Runs `work` on every chunk of `output` with the number of its first row; `width` is that of `output`'s rows.
    pub(super) fn for_each(
        self,
        output: &mut [f32],
        width: usize,
        work: impl Fn(&mut [f32], usize, Threads, &mut Scratch) + Sync + Send,
    ) {
        match self {
            Self::Own(rows) => output.par_chunks_mut(rows * width).enumerate().for_each_init(
                Scratch::default,
                |scratch, (index, chunk)| {
                    work(chunk, index * rows, Threads::One, scratch);
                },
            ),
            Self::Shared(rows) => {
                let mut scratch = Scratch::default();
                for (index, chunk) in output.chunks_mut(rows * width).enumerate() {
                    work(chunk, index * rows, Threads::All, &mut scratch);
                }
            }
        }
    }
}

/// Runs `work` on whole rows of `output` and `input`, both `width` wide.
pub(super) fn elementwise(
    threads: Threads,
    output: &mut [f32],
    input: &[f32],
    width: usize,
    work: impl Fn(&mut [f32], &[f32]) + Sync + Send,
) {
    match threads {
        Threads::One => work(output, input),
        Threads::All => {
            let chunk = CHUNK.div_ceil(width) * width;
            output.par_chunks_mut(chunk).zip(input.par_chunks(chunk)).for_each(|(output, input)| work(output, input));
        }
    }
}

/// Memory for what lies between two steps, used again for the next chunk.
#[derive(Default)]
pub(super) struct Scratch(Vec<f32>);

impl Scratch {
    /// Buffers of these lengths, with whatever was left in them.
    pub(super) fn buffers<const N: usize>(&mut self, lengths: [usize; N]) -> [&mut [f32]; N] {
        let total = lengths.iter().sum();
        if self.0.len() < total {
            self.0 = buffer::zeroed(total);
        }
        let mut rest = &mut self.0[..];
        lengths.map(|length| {
            let (buffer, others) = std::mem::take(&mut rest).split_at_mut(length);
            rest = others;
            buffer
        })
    }
}
