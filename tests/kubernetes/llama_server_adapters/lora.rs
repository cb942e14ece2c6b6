//! A LoRA adapter of SmolLM2-135M as a GGUF file. Its numbers look random, and are the same each time.
//!
//! Layout of the file: ggml-org/llama.cpp, `ggml/include/gguf.h` and `ggml/src/gguf.cpp`. What an adapter has in it, and of which shapes:
//! `src/llama-adapter.cpp`, `llama_adapter_lora_init_impl`.

/// Of the format.
const VERSION: u32 = 3;
/// The data of each tensor begins at a multiple of so many bytes (`GGUF_DEFAULT_ALIGNMENT`).
const ALIGNMENT: usize = 32;
/// Kinds of values (`enum gguf_type`), and of tensors (`enum ggml_type`).
const FLOAT_VALUE: u32 = 6;
const TEXT_VALUE: u32 = 8;
const FLOAT_TENSOR: u32 = 0;

/// What makes the file an adapter of this architecture.
const TEXTS: [(&str, &str); 3] = [
    ("general.architecture", "llama"),
    ("general.type", "adapter"),
    ("adapter.type", "lora"),
];
/// Over the rank, what the adapter's share of a matrix is multiplied by (`src/llama-adapter.h`, `get_scale`).
const ALPHA: (&str, f32) = ("adapter.lora.alpha", 0.5);

/// The model's shape (HuggingFaceTB/SmolLM2-135M-Instruct, `config.json`).
const LAYERS: usize = 30;
const HIDDEN: usize = 576;
const FEED_FORWARD: usize = 1536;
/// The matrices of each layer that have a share: how wide their input and their output is. Both write into the layer's output. With numbers
/// from -1 to 1 the share is about as large as what the matrix gives itself: no text stays as it is, and all stays finite, as each layer
/// norms its input.
const MATRICES: [(&str, usize, usize); 2] = [("attn_output", HIDDEN, HIDDEN), ("ffn_down", FEED_FORWARD, HIDDEN)];
const RANK: usize = 4;

/// A tensor of two dimensions, the one whose numbers stand side by side first.
struct Tensor {
    name: String,
    shape: [usize; 2],
}

impl Tensor {
    /// The two of a matrix, whose product is its share.
    fn pair(layer: usize, (matrix, input, output): (&str, usize, usize)) -> [Self; 2] {
        let tensor = |part: &str, shape| Self {
            name: format!("blk.{layer}.{matrix}.weight.lora_{part}"),
            shape,
        };
        [tensor("a", [input, RANK]), tensor("b", [RANK, output])]
    }

    fn numbers(&self) -> usize {
        self.shape[0] * self.shape[1]
    }
}

/// Numbers from -1 to 1: the high bits of a linear congruential generator, with the constants of Knuth's MMIX.
struct Numbers(u64);

impl Iterator for Numbers {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let [high, low, ..] = self.0.to_be_bytes();
        Some(f32::from(i16::from_be_bytes([high, low])) / 32768.0)
    }
}

/// The file.
pub fn of_smollm2() -> Vec<u8> {
    let layers = (0..LAYERS).flat_map(|layer| MATRICES.map(|matrix| (layer, matrix)));
    let tensors: Vec<Tensor> = layers.flat_map(|(layer, matrix)| Tensor::pair(layer, matrix)).collect();
    let mut file = b"GGUF".to_vec();
    file.extend(VERSION.to_le_bytes());
    put_number(&mut file, tensors.len());
    put_values(&mut file);
    put_descriptions(&mut file, &tensors);
    let mut numbers = Numbers(1);
    for tensor in &tensors {
        pad(&mut file);
        let numbers = numbers.by_ref().take(tensor.numbers());
        file.extend(numbers.flat_map(f32::to_le_bytes));
    }
    file
}

fn put_values(file: &mut Vec<u8>) {
    put_number(file, TEXTS.len() + 1);
    for (key, text) in TEXTS {
        put_text(file, key);
        file.extend(TEXT_VALUE.to_le_bytes());
        put_text(file, text);
    }
    let (key, alpha) = ALPHA;
    put_text(file, key);
    file.extend(FLOAT_VALUE.to_le_bytes());
    file.extend(alpha.to_le_bytes());
}

/// Where the data of each begins is counted from the end of the descriptions, which is padded as well.
fn put_descriptions(file: &mut Vec<u8>, tensors: &[Tensor]) {
    let mut begin = 0;
    for tensor in tensors {
        put_text(file, &tensor.name);
        file.extend(2_u32.to_le_bytes());
        for length in tensor.shape {
            put_number(file, length);
        }
        file.extend(FLOAT_TENSOR.to_le_bytes());
        put_number(file, begin);
        begin += (tensor.numbers() * size_of::<f32>()).next_multiple_of(ALIGNMENT);
    }
}

fn put_text(file: &mut Vec<u8>, text: &str) {
    put_number(file, text.len());
    file.extend(text.as_bytes());
}

fn put_number(file: &mut Vec<u8>, number: usize) {
    file.extend((number as u64).to_le_bytes());
}

fn pad(file: &mut Vec<u8>) {
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
}
